// Causal attention of one row a sequence over its cached keys and values, its own included: the step of decoding. q and
// out are [rows of all sequences, heads headDim], rows strided; the cache is paged (paged_cache.cuh).
//
// Grid (splits, heads / GROUP, sequences): each split takes a range of pages, so that one long sequence keeps all SMs
// busy (Flash-Decoding, Dao et al. 2023). Ranges follow from the length in device memory; splits without pages leave at
// once. A block of four warps takes 16 keys a warp of each page, in float32 on plain cores, since a row of queries
// would leave 15 of 16 rows of a tensor core idle. Its part goes to the workspace; the block that arrives last adds the
// parts of its heads up and leaves the counter at zero for the next launch.
//
// Bytes: keys and values once, 4 length kvHeads headDim; LLaMA-13B 20.5 KB a token and layer, 41 MB at 2,000 tokens: 20.5
// us at 2 TB/s. FLOPs: 4 length heads headDim, one a byte: bound by memory bandwidth. Parts: at 16 splits 0.33 MB
// written and read again in L2, 1.6 %. Of a key and its value 512 bytes take an SM of an A100 (12.8 bytes a cycle) 40
// cycles; the arithmetic takes about 22 warp instructions a query head, 5.6 cycles at 4 a cycle, with GROUP = 4 22.
// Bytes asked for at once: up to 8 KB a warp; 6 blocks make 96 KB an SM even if only half of a warp's loads are under way,
// eight times latency x bandwidth (2 TB/s x 0.6 us / 108 = 11 KB). Start and the addition of the parts cost 2 to 3 us:
// expected by arithmetic 85 to 90 % of the bandwidth at 2,000 tokens, half at 200. Not measured.
//
//   D    GROUP  registers  shared memory  blocks, warps of an SM (sm_80)
//   64   1      64         1,057          8, 32 (50 %)
//   64   4      154        4,225          3, 12 (19 %)
//   128  1      79         2,081          6, 24 (38 %)
//   128  4      168        8,321          3, 12 (19 %)
// No spills.
#include "common.cuh"
#include "paged_cache.cuh"
#include "softmax.cuh"

constexpr int WARPS = 4;               // of a block
constexpr int WARP_KEYS = PAGE / WARPS;  // keys of a page that one warp takes

// Eight elements that are needed once, so that they do not push out of the caches what is needed again.
template <typename T>
__device__ __forceinline__ uint4 read_once(const T* p) {
  return __ldcs((const uint4*)p);
}

// Softmax-weighted sum of values under way: relative to 2^maximum, not divided by sum yet.
struct Running {
  float maximum, sum, values[CHUNK];

  // Adds another that covers other keys.
  __device__ __forceinline__ void merge(float otherMaximum, float otherSum, const float (&otherValues)[CHUNK]) {
    float top = fmaxf(maximum, otherMaximum);
    float mine = shrink(maximum, top), other = shrink(otherMaximum, top);
    maximum = top;
    sum = sum * mine + otherSum * other;
#pragma unroll
    for (int i = 0; i < CHUNK; i++) values[i] = values[i] * mine + otherValues[i] * other;
  }
};

// LANES threads share a key, eight elements each; GROUP query heads share each key that is read.
template <typename T, int LANES, int GROUP>
struct Decoder {
  static constexpr int D = LANES * CHUNK;
  static constexpr int LOAD_KEYS = WARP / LANES;       // keys that a warp reads with one instruction
  static constexpr int LOADS = WARP_KEYS / LOAD_KEYS;  // such instructions for its keys of a page

  float query[GROUP][CHUNK];
  Running running[GROUP];

  // Threads beyond a head narrower than D get scale 0 and column 0: what they read changes no score.
  __device__ __forceinline__ void start(const T* q, int column, int headDim, float scale) {
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
      load8(q + g * headDim + column, query[g]);
      running[g].maximum = -INFINITY;
      running[g].sum = 0.f;
#pragma unroll
      for (int i = 0; i < CHUNK; i++) {
        query[g][i] *= scale;
        running[g].values[i] = 0.f;
      }
    }
  }

  // One page, of which count tokens exist: its keys and values are all asked for before the first is used. A thread
  // takes keys firstKey + n * LOAD_KEYS; in place of those that do not exist it reads the last that does.
  __device__ __forceinline__ void page(const T* keys, const T* values, int firstKey, int count, int headDim) {
    uint4 key[LOADS], value[LOADS];
#pragma unroll
    for (int n = 0; n < LOADS; n++) key[n] = read_once(keys + min(firstKey + n * LOAD_KEYS, count - 1) * headDim);
#pragma unroll
    for (int n = 0; n < LOADS; n++) value[n] = read_once(values + min(firstKey + n * LOAD_KEYS, count - 1) * headDim);
#pragma unroll
    for (int g = 0; g < GROUP; g++) add(running[g], query[g], key, value, count - firstKey);
  }

  static __device__ __forceinline__ void add(
      Running& r, const float (&q)[CHUNK], const uint4 (&key)[LOADS], const uint4 (&value)[LOADS], int count) {
    float score[LOADS], top = r.maximum;
#pragma unroll
    for (int n = 0; n < LOADS; n++) {
      float k[CHUNK], dot = 0.f;
      unpack8<T>(key[n], k);
#pragma unroll
      for (int i = 0; i < CHUNK; i++) dot = fmaf(q[i], k[i], dot);
#pragma unroll
      for (int offset = LANES / 2; offset > 0; offset /= 2) dot += __shfl_xor_sync(ALL_LANES, dot, offset);
      score[n] = n * LOAD_KEYS < count ? dot : -INFINITY;
      top = fmaxf(top, score[n]);
    }
    float before = shrink(r.maximum, top);
    r.maximum = top;
    r.sum *= before;
#pragma unroll
    for (int i = 0; i < CHUNK; i++) r.values[i] *= before;
#pragma unroll
    for (int n = 0; n < LOADS; n++) {
      float v[CHUNK], p = shrink(score[n], top);
      unpack8<T>(value[n], v);
      r.sum += p;
#pragma unroll
      for (int i = 0; i < CHUNK; i++) r.values[i] = fmaf(p, v[i], r.values[i]);
    }
  }

  // Afterwards the threads of the warp's first key have what all of its threads had.
  __device__ __forceinline__ void merge_lanes() {
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
      Running& r = running[g];
#pragma unroll
      for (int offset = LANES; offset < WARP; offset *= 2) {
        float maximum = __shfl_xor_sync(ALL_LANES, r.maximum, offset), sum = __shfl_xor_sync(ALL_LANES, r.sum, offset);
        float values[CHUNK];
#pragma unroll
        for (int i = 0; i < CHUNK; i++) values[i] = __shfl_xor_sync(ALL_LANES, r.values[i], offset);
        r.merge(maximum, sum, values);
      }
    }
  }
};

// Parts of one head: the maximum and sum of each split, and its values [D], not divided yet.
struct Parts {
  float2* weights;  // [splits]: maximum, sum
  float* values;    // [splits][headDim]
};

__device__ __forceinline__ Parts parts_of(float* workspace, int head, int heads, int splits, int headDim) {
  long long index = (long long)blockIdx.z * heads + head, all = (long long)gridDim.z * heads;
  return {(float2*)workspace + index * splits, workspace + 2 * all * splits + index * splits * headDim};
}

template <typename T, int LANES, int GROUP>
__device__ __forceinline__ void attention_decode(
    const T* q, int qStride, T* out, int outStride, const Sequence* sequences, const T* const* pages,
    long long keyOffset, long long valueOffset, int heads, int kvHeads, int headDim, float scale, float* workspace,
    unsigned* arrived) {
  using D = Decoder<T, LANES, GROUP>;
  __shared__ float warpMaximum[WARPS][GROUP], warpSum[WARPS][GROUP];
  __shared__ __align__(16) float warpValues[WARPS][GROUP][D::D];
  __shared__ bool last;
  const Sequence sequence = sequences[blockIdx.z];
  if (sequence.rows != 1) return;
  int length = sequence.past + 1, pageCount = (length + PAGE - 1) / PAGE, splits = gridDim.x;
  int pagesEach = (pageCount + splits - 1) / splits;
  splits = (pageCount + pagesEach - 1) / pagesEach;  // the others have nothing to do
  if (blockIdx.x >= splits) return;

  int firstHead = blockIdx.y * GROUP, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  int column = lane % LANES * CHUNK, firstKey = warp * WARP_KEYS + lane / LANES;
  bool inHead = column < headDim;
  column = inHead ? column : 0;
  long long row = sequence.start, inPage = (long long)firstHead * kvHeads / heads * PAGE * headDim + column;
  D decoder;
  decoder.start(q + row * qStride + firstHead * headDim, column, headDim, inHead ? scale : 0.f);
  int first = blockIdx.x * pagesEach, end = min(first + pagesEach, pageCount);
  pages += sequence.firstPage;
#pragma unroll 1
  for (int page = first; page < end; page++) {
    const T* base = pages[page] + inPage;
    decoder.page(base + keyOffset, base + valueOffset, firstKey, length - page * PAGE, headDim);
  }
  decoder.merge_lanes();
  if (lane < LANES && inHead) {
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
      const Running& r = decoder.running[g];
      if (lane == 0) {
        warpMaximum[warp][g] = r.maximum;
        warpSum[warp][g] = r.sum;
      }
      float4* values = (float4*)&warpValues[warp][g][column];
      values[0] = make_float4(r.values[0], r.values[1], r.values[2], r.values[3]);
      values[1] = make_float4(r.values[4], r.values[5], r.values[6], r.values[7]);
    }
  }
  __syncthreads();

  // The four warps' parts become the block's: the result, or one part of it.
  out += row * outStride + firstHead * headDim;
  for (int i = threadIdx.x; i < GROUP * headDim; i += WARPS * WARP) {
    int g = i / headDim, d = i % headDim;
    float top = warpMaximum[0][g];
#pragma unroll
    for (int w = 1; w < WARPS; w++) top = fmaxf(top, warpMaximum[w][g]);
    float sum = 0.f, value = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
      float weight = shrink(warpMaximum[w][g], top);
      sum += warpSum[w][g] * weight;
      value += warpValues[w][g][d] * weight;
    }
    if (splits == 1) {
      out[i] = from_float<T>(value / sum);
    } else {
      Parts parts = parts_of(workspace, firstHead + g, heads, gridDim.x, headDim);
      if (d == 0) parts.weights[blockIdx.x] = make_float2(top, sum);
      parts.values[blockIdx.x * headDim + d] = value;
    }
  }
  if (splits == 1) return;

  // The block that finishes last adds up the parts, always in the same order. The counter wraps to zero by itself.
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicInc(arrived + blockIdx.z * gridDim.y + blockIdx.y, splits - 1) == splits - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  for (int i = threadIdx.x; i < GROUP * headDim; i += WARPS * WARP) {
    int g = i / headDim, d = i % headDim;
    Parts parts = parts_of(workspace, firstHead + g, heads, gridDim.x, headDim);
    float top = -INFINITY, sum = 0.f, value = 0.f;
    for (int s = 0; s < splits; s++) {
      float2 weights = __ldcg(parts.weights + s);
      float next = fmaxf(top, weights.x), before = shrink(top, next), weight = shrink(weights.x, next);
      sum = sum * before + weights.y * weight;
      value = value * before + __ldcg(parts.values + s * headDim + d) * weight;
      top = next;
    }
    out[i] = from_float<T>(value / sum);
  }
}

#define KERNEL(NAME, T, D, GROUP)                                                                                   \
  extern "C" __global__ void __launch_bounds__(WARPS * WARP) NAME(                                                    \
      const T* q, int qStride, T* out, int outStride, const Sequence* sequences, const T* const* pages,             \
      long long keyOffset, long long valueOffset, int heads, int kvHeads, int headDim, float scale,                 \
      float* workspace, unsigned* arrived) {                                                                        \
    attention_decode<T, D / CHUNK, GROUP>(q, qStride, out, outStride, sequences, pages, keyOffset, valueOffset, heads,  \
                                      kvHeads, headDim, scale, workspace, arrived);                                 \
  }

#define KERNELS(D, GROUP)                                                            \
  KERNEL(mg_attention_decode_g##GROUP##_d##D##_f16, __half, D, GROUP)                \
  KERNEL(mg_attention_decode_g##GROUP##_d##D##_bf16, __nv_bfloat16, D, GROUP)

KERNELS(64, 1)
KERNELS(64, 4)
KERNELS(128, 1)
KERNELS(128, 4)
