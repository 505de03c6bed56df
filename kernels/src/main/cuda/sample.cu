// Chooses a token from logits, as the host's sampler does: repetition penalty, no eos before the least number of
// tokens, then the highest score, or temperature, top-k (with ties of the last), top-p (tokens in order of score stay
// while those before them do not reach p) and a draw with the probabilities that softmax gives those that remain.
//
// One block a row. Reads the row's 4 · vocabulary bytes once for the highest score and twice for each batch of tokens
// taken in order of score, from L2 (128 KB for 32000 tokens, about 1.2 µs a pass at 64 bytes a clock). A batch, 512 to
// 2048 tokens, is what most top-k and top-p ever need: about 10 µs, a thousandth of a decode step of a 13B model.
// Limit: latency of one SM. 64 registers, 24 KiB of shared memory: one block of 1024 threads an SM (50 % occupancy).
//
// Weights, e^(score - highest), are computed in double and rounded to multiples of 2^-42; sums of them are integers and
// so the same in any order. This is how it differs from the host, whose sums are of double: tokens at the border of
// top-p, or a draw within about 1e-13 of the border of two tokens, can fall to the other side; tokens of less than
// 1e-13 of the highest one's weight are never drawn.
#include "common.cuh"

constexpr int SAMPLE_THREADS = 1024;
constexpr int SAMPLE_BATCH = 2 * SAMPLE_THREADS;  // most tokens sorted at once
constexpr int SAMPLE_RANK = 512;                  // how many of the threads' best bound a batch
constexpr double SAMPLE_ONE = 4398046511104.0;    // 2^42; 2^20 tokens of weight 1 make 2^62

// What a sequence is sampled with; Sampling.STATE_BYTES in Java. Behind it lie int eos[eos_count], ids that may not come
// before min_new_tokens, and int history[capacity], the tokens so far.
struct __align__(16) SampleState {
  double top_p;                   // 1 is no limit
  unsigned long long seed;        // key of the random numbers
  unsigned long long counter;     // of random numbers drawn so far
  float temperature;              // 0 takes the highest score
  int top_k;                      // 0 is no limit
  float repetition_penalty;       // 1 is none
  int min_new_tokens;             // before which no eos may come
  int generated;                  // tokens in the history
  int capacity;                   // of the history
  int eos_count;
  int unused[3];
};

// Philox4x32-10 (Salmon et al. 2011).
__device__ __forceinline__ double philox_uniform(unsigned long long seed, unsigned long long counter) {
  uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    uint32_t h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
    uint32_t h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
    c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  unsigned long long bits = (unsigned long long)c0 << 32 | c1;
  return (double)(bits >> 11) * 0x1p-53;
}

// A key orders tokens: the higher score first, of equal ones the lower id. 0 is no token.
__device__ __forceinline__ unsigned long long key_of(float score, int id) {
  if (!(score > -INFINITY)) return 0;  // -inf and NaN are never chosen
  uint32_t bits = __float_as_uint(score + 0.f);  // -0 to 0
  bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
  return (unsigned long long)bits << 32 | ~(uint32_t)id;
}
__device__ __forceinline__ int id_of(unsigned long long key) { return (int)~(uint32_t)key; }
__device__ __forceinline__ uint32_t order_of(unsigned long long key) { return (uint32_t)(key >> 32); }
__device__ __forceinline__ float score_of(unsigned long long key) {
  uint32_t bits = order_of(key);
  return __uint_as_float(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}

struct SampleShared {
  unsigned long long best[SAMPLE_THREADS];   // of each thread
  unsigned long long batch[SAMPLE_BATCH];
  unsigned long long warps[WARP];
  unsigned long long result;
  int count;
};

// A row as the kernel sees it.
struct Scores {
  const float* logits;
  int vocabulary;
  float temperature;

  __device__ __forceinline__ unsigned long long key(int id) const {
    float logit = logits[id];
    return key_of(temperature == 1.f ? logit : logit / temperature, id);
  }
};

__device__ __forceinline__ unsigned long long weight_of(unsigned long long key, float highest) {
  return key == 0 ? 0 : (unsigned long long)rint(exp((double)score_of(key) - (double)highest) * SAMPLE_ONE);
}

// Sum over the block, in every thread.
__device__ __forceinline__ unsigned long long block_total(unsigned long long x, SampleShared& s) {
#pragma unroll
  for (int offset = WARP / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
  __syncthreads();
  if (threadIdx.x % WARP == 0) s.warps[threadIdx.x / WARP] = x;
  __syncthreads();
  unsigned long long sum = 0;
  for (int w = 0; w < SAMPLE_THREADS / WARP; w++) sum += s.warps[w];
  return sum;
}

__device__ __forceinline__ unsigned long long block_max(unsigned long long x, SampleShared& s) {
#pragma unroll
  for (int offset = WARP / 2; offset > 0; offset /= 2) x = max(x, __shfl_xor_sync(ALL_LANES, x, offset));
  __syncthreads();
  if (threadIdx.x % WARP == 0) s.warps[threadIdx.x / WARP] = x;
  __syncthreads();
  unsigned long long most = 0;
  for (int w = 0; w < SAMPLE_THREADS / WARP; w++) most = max(most, s.warps[w]);
  return most;
}

// Bitonic sort (Batcher 1968), descending; n is a power of two.
__device__ void sort(unsigned long long* keys, int n) {
#pragma unroll 1
  for (int size = 2; size <= n; size *= 2) {
#pragma unroll 1
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int t = threadIdx.x; t < n / 2; t += SAMPLE_THREADS) {
        int i = 2 * t - (t & (stride - 1)), j = i + stride;
        unsigned long long a = keys[i], b = keys[j];
        if ((a < b) == ((i & size) == 0)) {
          keys[i] = b;
          keys[j] = a;
        }
      }
    }
  }
  __syncthreads();
}

// Puts the tokens of keys in [floor, bound) into the batch; returns their number, of which those that do not fit are
// dropped.
__device__ int collect(const Scores& scores, unsigned long long floor, unsigned long long bound, SampleShared& s) {
  __syncthreads();
  if (threadIdx.x == 0) s.count = 0;
  __syncthreads();
  for (int id = threadIdx.x; id < scores.vocabulary; id += SAMPLE_THREADS) {
    unsigned long long key = scores.key(id);
    if (key >= floor && key < bound) {
      int at = atomicAdd(&s.count, 1);
      if (at < SAMPLE_BATCH) s.batch[at] = key;
    }
  }
  __syncthreads();
  return s.count;
}

// The next tokens in order after `bound`, sorted, in the batch; returns their number, 0 when there are no more.
__device__ int next_batch(const Scores& scores, unsigned long long bound, SampleShared& s) {
  unsigned long long best = 0;
  for (int id = threadIdx.x; id < scores.vocabulary; id += SAMPLE_THREADS) {
    unsigned long long key = scores.key(id);
    if (key < bound) best = max(best, key);
  }
  __syncthreads();
  s.best[threadIdx.x] = best;
  sort(s.best, SAMPLE_THREADS);
  if (s.best[0] == 0) return 0;
  // Tokens not below the r-th best thread's best belong to r threads: at least r, usually little more.
  unsigned long long floor = max(s.best[SAMPLE_RANK - 1], 1ull);
  int count = collect(scores, floor, bound, s);
  if (count > SAMPLE_BATCH) {
    // All of one thread's tokens may be among them; so many threads' fit in any case.
    int each = (scores.vocabulary + SAMPLE_THREADS - 1) / SAMPLE_THREADS;
    floor = max(s.best[SAMPLE_BATCH / each - 1], 1ull);
    count = collect(scores, floor, bound, s);
  }
  int n = 1;
  while (n < count) n *= 2;
  for (int i = count + threadIdx.x; i < n; i += SAMPLE_THREADS) s.batch[i] = 0;
  sort(s.batch, n);
  return count;
}

// Keys in the order in which weights are summed up: sorted ones, or those of all ids.
struct Order {
  const Scores& scores;
  const unsigned long long* sorted;  // null for the order of ids
  float highest;

  __device__ __forceinline__ unsigned long long weight(int i, int n) const {
    if (i >= n) return 0;
    return weight_of(sorted == nullptr ? scores.key(i) : sorted[i], highest);
  }
};

__device__ unsigned long long total(const Order& order, int n, SampleShared& s) {
  unsigned long long sum = 0;
  for (int i = threadIdx.x; i < n; i += SAMPLE_THREADS) sum += order.weight(i, n);
  return block_total(sum, s);
}

// The first i whose weight and those before it reach a threshold between 1 and the total of n.
__device__ int reach(const Order& order, int n, unsigned long long threshold, SampleShared& s) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  unsigned long long before = 0;
#pragma unroll 1
  for (int start = 0; start < n; start += SAMPLE_THREADS) {
    unsigned long long own = order.weight(start + threadIdx.x, n), sum = own;
#pragma unroll
    for (int offset = 1; offset < WARP; offset *= 2) {
      unsigned long long left = __shfl_up_sync(ALL_LANES, sum, offset);
      if (lane >= offset) sum += left;
    }
    __syncthreads();
    if (lane == WARP - 1) s.warps[warp] = sum;
    __syncthreads();
    unsigned long long all = before;
    for (int w = 0; w < SAMPLE_THREADS / WARP; w++) {
      if (w == warp) sum += all;
      all += s.warps[w];
    }
    if (sum >= threshold && sum - own < threshold) s.count = start + threadIdx.x;
    __syncthreads();
    if (all >= threshold) return s.count;
    before = all;
  }
  return n - 1;
}

// Applies repetition penalty (Keskar et al. 2019), once a token, and the least number of tokens, in place.
__device__ void process(float* logits, const SampleState& state, const int* history, const int* eos) {
  if (state.repetition_penalty != 1.f) {
    for (int i = threadIdx.x; i < state.generated; i += SAMPLE_THREADS) {
      int id = history[i];
      bool first = true;
      for (int j = 0; j < i && first; j++) first = history[j] != id;
      if (first) {
        float score = logits[id];
        logits[id] = score < 0 ? score * state.repetition_penalty : score / state.repetition_penalty;
      }
    }
    __syncthreads();
  }
  if (state.generated < state.min_new_tokens) {
    for (int i = threadIdx.x; i < state.eos_count; i += SAMPLE_THREADS) logits[eos[i]] = -INFINITY;
    __syncthreads();
  }
}

// Draws a token after top-k and top-p. `sorted` holds room for all tokens.
__device__ int draw(const Scores& scores, const SampleState& state, float highest, unsigned long long* sorted,
                    SampleShared& s) {
  Order by_id = {scores, nullptr, highest};
  Order by_score = {scores, sorted, highest};
  bool all = state.top_k == 0 && state.top_p >= 1;
  unsigned long long sum = state.top_k == 0 ? total(by_id, scores.vocabulary, s) : 0;
  int n = scores.vocabulary;
  if (!all) {
    unsigned long long limit = (unsigned long long)ceil(state.top_p * (double)sum);
    unsigned long long bound = ~0ull, mass = 0;
    uint32_t last = 0;  // score of the k-th token
    n = 0;
#pragma unroll 1
    while (true) {
      int count = next_batch(scores, bound, s);
      if (count == 0) break;
      unsigned long long own = 0;
      for (int i = threadIdx.x; i < count; i += SAMPLE_THREADS) {
        sorted[n + i] = s.batch[i];
        own += weight_of(s.batch[i], highest);
      }
      bound = s.batch[count - 1];
      if (state.top_k > n && state.top_k <= n + count) last = order_of(s.batch[state.top_k - 1 - n]);
      n += count;
      mass += block_total(own, s);
      // Equals of the k-th stay too; a batch that ends below it has them all.
      if (state.top_k > 0 ? n >= state.top_k && order_of(bound) < last : mass >= limit) break;
    }
    if (state.top_k > 0) {
      if (n > state.top_k) {
        unsigned long long ties = 0;
        for (int i = state.top_k + threadIdx.x; i < n; i += SAMPLE_THREADS) ties += order_of(sorted[i]) == last;
        n = state.top_k + (int)block_total(ties, s);
      }
      sum = total(by_score, n, s);
      limit = (unsigned long long)ceil(state.top_p * (double)sum);
    }
    if (state.top_p < 1) {
      n = reach(by_score, n, min(max(limit, 1ull), sum), s) + 1;
      sum = total(by_score, n, s);
    }
  }
  const Order& order = all ? by_id : by_score;
  double uniform = philox_uniform(state.seed, state.counter);
  unsigned long long threshold = min((unsigned long long)(uniform * (double)sum), sum - 1) + 1;
  int at = reach(order, n, threshold, s);
  return all ? at : id_of(sorted[at]);
}

// logits [rows, vocabulary], changed; states [rows], null for rows that nothing is chosen for; tokens [rows], -1 where no
// score is finite or one is infinite; sorted [rows, vocabulary] is scratch.
extern "C" __global__ void __launch_bounds__(SAMPLE_THREADS)
    mg_sample(float* logits, long long stride, int vocabulary, SampleState* const* states, unsigned long long* sorted,
              int* tokens) {
  __shared__ SampleShared s;
  int row = blockIdx.x;
  SampleState* own = states[row];
  if (own == nullptr) return;
  SampleState state = *own;
  const int* eos = (const int*)(own + 1);
  int* history = (int*)(own + 1) + state.eos_count;
  logits += row * stride;
  process(logits, state, history, eos);
  bool draws = state.temperature != 0;
  Scores scores = {logits, vocabulary, draws ? state.temperature : 1.f};
  unsigned long long best = 0;
  for (int id = threadIdx.x; id < vocabulary; id += SAMPLE_THREADS) best = max(best, scores.key(id));
  best = block_max(best, s);
  int token = id_of(best);
  bool finite = best != 0 && score_of(best) < INFINITY;
  if (!finite) {
    token = -1;
  } else if (draws) {
    token = draw(scores, state, score_of(best), sorted + (long long)row * vocabulary, s);
  }
  if (threadIdx.x == 0) {
    tokens[row] = token;
    if (token >= 0 && state.generated < state.capacity) {
      history[state.generated] = token;
      own->generated = state.generated + 1;
    }
    if (draws) own->counter = state.counter + 1;
  }
}
