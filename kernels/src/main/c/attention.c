// out = softmax(scale * q kT) v of one head, and its backward pass, for many rows of queries: a picture's encoding, a
// prompt's prefill, training. All is float32, but that keys and values may be kept as float16.
//
// Scores are never held all at once: tiles of queries meet blocks of keys, and an online softmax (Dao et al. 2022)
// keeps a maximum and a sum for each row. Keys and values of a block become panels, which all tiles share.
//
// A row's result is the same to the last bit whatever the rows beside it: blocks of keys begin at the same positions
// always, and what is hidden from a row adds zeros.
#include "guard.h"
#include "vector.h"
#include "panel.h"

// Lower than any score, and still a number.
#define HIDDEN -3e38f

INLINE int round_up(int n, int to) { return (n + to - 1) / to * to; }
INLINE int lesser(int a, int b) { return a < b ? a : b; }
INLINE vector greatest(vector a, vector b) { return if_greater(a, b, a, b); }

// Tiles [rows][columns] of any number of columns, whose panels follow each other panel_size floats apart.
static __attribute__((noinline)) void tiles(int rows, int columns, int add, const float *x, long x_row, int k,
                                            const float *panels, long panel_size, float *out, long out_stride) {
  for (int j = 0; j < columns; j += WIDTH) {
    if (columns - j > LANES) {
      any_tile(rows, 2, add, x, x_row, 1, k, panels, out + j, out_stride, 0);
    } else {
      any_tile(rows, 1, add, x, x_row, 1, k, panels, out + j, out_stride, 0);
    }
    panels += panel_size;
  }
}

// The same of the transposed x [k][rows], and always added.
static __attribute__((noinline)) void tiles_of_columns(int rows, int columns, const float *x, long x_column, int k,
                                                       const float *panels, long panel_size, float *out,
                                                       long out_stride) {
  for (int j = 0; j < columns; j += WIDTH) {
    any_tile(rows, 2, 1, x, 1, x_column, k, panels, out + j, out_stride, 0);
    panels += panel_size;
  }
}

INLINE long size_of(int type) { return type == F32 ? 4 : 2; }

INLINE void turned_panels_of(int type, const char *rows, long stride, int n, int dims, float *panels, long panel_size) {
  const long row_bytes = stride * size_of(type);
  for (int j = 0; j < n; j += WIDTH) {
    pack_rows_of(type, rows + j * row_bytes, row_bytes, n - j, dims, panels);
    panels += panel_size;
  }
}

INLINE void straight_panels_of(int type, const char *rows, long stride, int n, int dims, float *panels,
                               long panel_size) {
  for (int d = 0; d < dims; d += WIDTH) {
    pack_columns_of(type, rows + d * size_of(type), stride * size_of(type), dims - d, n, panels);
    panels += panel_size;
  }
}

// Panels [dims][WIDTH] of rows [n][dims], which are float32 or float16.
static __attribute__((noinline)) void turned_panels(int type, const void *rows, long stride, int n, int dims,
                                                    float *panels, long panel_size) {
  if (type == F32) {
    turned_panels_of(F32, rows, stride, n, dims, panels, panel_size);
  } else {
    turned_panels_of(F16, rows, stride, n, dims, panels, panel_size);
  }
}

// Panels [n][WIDTH] of the same.
static __attribute__((noinline)) void straight_panels(int type, const void *rows, long stride, int n, int dims,
                                                      float *panels, long panel_size) {
  if (type == F32) {
    straight_panels_of(F32, rows, stride, n, dims, panels, panel_size);
  } else {
    straight_panels_of(F16, rows, stride, n, dims, panels, panel_size);
  }
}

// s[j] = e^(scale s[j] - *max) for j < seen and 0 for the rest of n, whole vectors; returns their sum. *max becomes
// the greatest so far, *correction what sums from before are to be multiplied with.
INLINE float soften(float *s, int seen, int n, float scale, float *max, float *correction) {
  for (int j = seen; j < n; j++) {
    s[j] = HIDDEN;
  }
  vector top = all(HIDDEN);
  for (int j = 0; j < n; j += LANES) {
    top = greatest(load(s + j), top);
  }
  const float before = *max;
  // Scaled rounding keeps the order, so this is the greatest of the scaled.
  float now = seen > 0 ? greatest_lane(top) * scale : HIDDEN;
  now = before > now ? before : now;
  vector sum = zero();
  for (int j = 0; j < n; j += LANES) {
    const vector e = exponential(load(s + j) * all(scale) - all(now));
    store(s + j, e);
    sum = sum + e;
  }
  *max = now;
  *correction = first_lane(exponential(all(before - now)));
  return sum_of_lanes(sum);
}

INLINE void multiply_row(float *x, int n, float factor) {
  for (int d = 0; d < n; d += LANES) {
    store(x + d, load(x + d) * all(factor));
  }
}

// to[0..n) = factor * from[0..n); from has whole vectors.
INLINE void store_row(const float *from, int n, float factor, float *to) {
  int d = 0;
  for (; d + LANES <= n; d += LANES) {
    store(to + d, load(from + d) * all(factor));
  }
  for (; d < n; d++) {
    to[d] = factor * from[d];
  }
}

// first: the position of the first row of q, whose row r sees keys up to position first + r.
static __attribute__((noinline)) void attention(int type, const float *q, long q_stride, int rows, int dims,
                                                float scale, const void *const *blocks, long k_stride, long v_stride,
                                                int step, int keys, int first, float *out, long out_stride,
                                                float *scratch) {
  const int wide_step = round_up(step, WIDTH), wide_dims = round_up(dims, WIDTH);
  const long key_panel = (long)round_up(dims, LANES) * WIDTH, value_panel = (long)step * WIDTH;
  float *key_panels = scratch;
  float *value_panels = key_panels + wide_step / WIDTH * key_panel;
  float *scores = value_panels + wide_dims / WIDTH * value_panel;
  float *results = scores + (long)ROWS * wide_step;
  float *max = results + (long)rows * wide_dims;
  float *sum = max + rows;
  for (int r = 0; r < rows; r++) {
    max[r] = HIDDEN;
    sum[r] = 0;
  }
  const int count = (rows + ROWS - 1) / ROWS;
  for (int from = 0; from < keys; from += step, blocks += 2) {
    const int size = lesser(step, keys - from);
    turned_panels(type, blocks[0], k_stride, size, dims, key_panels, key_panel);
    straight_panels(type, blocks[1], v_stride, size, dims, value_panels, value_panel);
    for (int t = 0; t < count; t++) {
      const int row = (int)((long)rows * t / count), end = (int)((long)rows * (t + 1) / count);
      const int seen = lesser(size, first + end - from);
      if (seen <= 0) {
        continue;
      }
      const int whole = round_up(seen, LANES);
      tiles(end - row, seen, 0, q + row * q_stride, q_stride, dims, key_panels, key_panel, scores, wide_step);
      for (int r = row; r < end; r++) {
        const int its = lesser(seen, first + r + 1 - from);
        float correction;
        const float more = soften(scores + (long)(r - row) * wide_step, its < 0 ? 0 : its, whole, scale, max + r, &correction);
        sum[r] = sum[r] * correction + more;
        if (from > 0 && correction != 1) {
          multiply_row(results + (long)r * wide_dims, wide_dims, correction);
        }
      }
      tiles(end - row, dims, from > 0, scores, wide_step, seen, value_panels, value_panel,
            results + (long)row * wide_dims, wide_dims);
    }
  }
  for (int r = 0; r < rows; r++) {
    store_row(results + (long)r * wide_dims, dims, 1 / sum[r], out + r * out_stride);
  }
}

// Floats of scratch that attention needs.
long SUFFIX(mg_attention_scratch)(int rows, int dims, int step) {
  const long wide_step = round_up(step, WIDTH), wide_dims = round_up(dims, WIDTH);
  return wide_step * round_up(dims, LANES) + wide_dims * step + ROWS * wide_step + rows * (wide_dims + 2);
}

// q, out [rows][dims]; blocks: for each block of `step` keys, of which there are `keys` in all, the address of its keys
// and that of its values, which are float32 (type 0) or float16 (1); strides in elements. Row r sees keys up to position
// first + r.
int SUFFIX(mg_attention)(int type, const float *q, long q_stride, int rows, int dims, float scale,
                         const void *const *blocks, long k_stride, long v_stride, int step, int keys, int first,
                         float *out, long out_stride, float *scratch) {
  GUARDED(attention(type, q, q_stride, rows, dims, scale, blocks, k_stride, v_stride, step, keys, first, out, out_stride,
                    scratch));
}

// ---- one row

// Bytes by which loads of keys and values are preceded by a prefetch: many chats' caches are larger than the processor's.
enum { AHEAD = 2048 };

// s[j] = q . keys[j] for the keys of a block; each is formed in the same order.
INLINE void scores_of(int type, const float *q, const char *keys, int n, int dims, float *s) {
  const int whole = dims / LANES * LANES;
  const long size = size_of(type), row_bytes = dims * size;
  for (int j = 0; j < n; j += LANES, keys += LANES * row_bytes) {
    const int count = lesser(LANES, n - j);
    vector sum[LANES];
    if (count == LANES) {
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++) {
        sum[i] = zero();
      }
      for (int c = 0; c < whole; c += LANES) {
        const vector some = load(q + c);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
          const char *at = keys + i * row_bytes + c * size;
          prefetch(at + AHEAD);
          sum[i] = fma(some, load_weights(type, at), sum[i]);
        }
      }
    } else {
      for (int i = 0; i < LANES; i++) {
        sum[i] = zero();
        for (int c = 0; i < count && c < whole; c += LANES) {
          sum[i] = fma(load(q + c), load_weights(type, keys + i * row_bytes + c * size), sum[i]);
        }
      }
    }
    if (whole < dims) {
      const vector some = load_first(q + whole, dims - whole);
      for (int i = 0; i < count; i++) {
        const char *at = keys + i * row_bytes + whole * size;
        sum[i] = fma(some, load_first_weights(type, at, dims - whole), sum[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4) {
      _mm_storeu_ps(s + j + i, sums(sum[i], sum[i + 1], sum[i + 2], sum[i + 3]));
    }
  }
}

static __attribute__((noinline)) void scores_of_row(int type, const float *q, const void *keys, int n, int dims,
                                                    float *s) {
  if (type == F32) {
    scores_of(F32, q, keys, n, dims, s);
  } else {
    scores_of(F16, q, keys, n, dims, s);
  }
}

// out[d] += sum over j of p[j] * values[j][d], some vectors of columns of which the last may be a part.
INLINE void weigh(int type, int vectors, const float *p, const char *values, int n, int dims, int last, float *out) {
  const long size = size_of(type), row_bytes = dims * size;
  vector sum[4];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v++) {
    sum[v] = load(out + v * LANES);
  }
  for (int j = 0; j < n; j++) {
    const vector weight = all(p[j]);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      const char *at = values + j * row_bytes + v * LANES * size;
      prefetch(at + AHEAD);
      const int whole = v + 1 < vectors || last == LANES;
      sum[v] = fma(weight, whole ? load_weights(type, at) : load_first_weights(type, at, last), sum[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v++) {
    store(out + v * LANES, sum[v]);
  }
}

INLINE void weigh_all(int type, const float *p, const char *values, int n, int dims, float *out) {
  for (int d = 0; d < dims; d += 4 * LANES) {
    const int columns = lesser(4 * LANES, dims - d), vectors = (columns + LANES - 1) / LANES;
    const int last = columns - (vectors - 1) * LANES;
    const char *at = values + d * size_of(type);
    switch (vectors) {
      case 1: weigh(type, 1, p, at, n, dims, last, out + d); break;
      case 2: weigh(type, 2, p, at, n, dims, last, out + d); break;
      case 3: weigh(type, 3, p, at, n, dims, last, out + d); break;
      case 4: weigh(type, 4, p, at, n, dims, last, out + d); break;
    }
  }
}

static __attribute__((noinline)) void weigh_values(int type, const float *p, const void *values, int n, int dims,
                                                   float *out) {
  if (type == F32) {
    weigh_all(F32, p, values, n, dims, out);
  } else {
    weigh_all(F16, p, values, n, dims, out);
  }
}

static __attribute__((noinline)) void attention_row(int type, const float *q, int dims, int group, float scale,
                                                    const void *const *blocks, int step, int keys, float *out,
                                                    float *scratch) {
  const int whole = round_up(keys, LANES), wide_dims = round_up(dims, LANES);
  float *scores = scratch, *result = scratch + whole;
  for (int head = 0; head < group; head++, q += dims, out += dims) {
    for (int from = 0; from < keys; from += step) {
      scores_of_row(type, q, blocks[from / step * 2], lesser(step, keys - from), dims, scores + from);
    }
    float max = HIDDEN, correction;
    const float sum = soften(scores, keys, whole, scale, &max, &correction);
    for (int d = 0; d < wide_dims; d += LANES) {
      store(result + d, zero());
    }
    for (int from = 0; from < keys; from += step) {
      weigh_values(type, scores + from, blocks[from / step * 2 + 1], lesser(step, keys - from), dims, result);
    }
    store_row(result, dims, 1 / sum, out);
  }
}

// One row of `group` heads, which follow each other and share a head of keys: q, out [group][dims]; blocks as above, of
// dense rows, step a multiple of 16. scratch: keys + dims + 32 floats.
int SUFFIX(mg_attention_row)(int type, const float *q, int dims, int group, float scale, const void *const *blocks,
                             int step, int keys, float *out, float *scratch) {
  GUARDED(attention_row(type, q, dims, group, scale, blocks, step, keys, out, scratch));
}

// ---- backwards

// Rows of queries whose probabilities are held at a time.
enum { BAND = 4 * ROWS };

// p[j] = softmax(scale * s)[j], the probabilities of a row; 0 from seen to n, whole vectors.
INLINE void probabilities(float *p, int seen, int n, float scale) {
  float max = HIDDEN, correction;
  multiply_row(p, n, 1 / soften(p, seen, n, scale, &max, &correction));
}

// d[j] = p[j] * (d[j] - sum p d), the slope of the scores from that of the probabilities.
INLINE void softmax_backward(const float *p, float *d, int n) {
  vector sum = zero();
  for (int j = 0; j < n; j += LANES) {
    sum = fma(load(p + j), load(d + j), sum);
  }
  const vector mean = all(sum_of_lanes(sum));
  for (int j = 0; j < n; j += LANES) {
    store(d + j, load(p + j) * (load(d + j) - mean));
  }
}

struct memory {
  long turned_panel, key_panel, band_panel;
  int wide_keys, wide_dims;
  float *turned_keys, *turned_values, *keys;   // panels of all keys
  float *key_sums, *value_sums;                // [n][wide_dims]
  float *queries, *slopes;                     // panels of a band
  float *scores, *score_slopes;                // [BAND][wide_keys]
  float *results;                              // [ROWS][wide_dims]
  float *end;
};

static __attribute__((noinline)) struct memory divide(int n, int dims, int step, float *scratch) {
  struct memory m;
  m.wide_keys = round_up(n, step), m.wide_dims = round_up(dims, WIDTH);
  m.turned_panel = (long)round_up(dims, LANES) * WIDTH;
  m.key_panel = (long)n * WIDTH;
  m.band_panel = (long)BAND * WIDTH;
  m.turned_keys = scratch;
  m.turned_values = m.turned_keys + m.wide_keys / WIDTH * m.turned_panel;
  m.keys = m.turned_values + m.wide_keys / WIDTH * m.turned_panel;
  m.key_sums = m.keys + (long)m.wide_dims * n;
  m.value_sums = m.key_sums + (long)m.wide_dims * n;
  m.queries = m.value_sums + (long)m.wide_dims * n;
  m.slopes = m.queries + (long)m.wide_dims * BAND;
  m.scores = m.slopes + (long)m.wide_dims * BAND;
  m.score_slopes = m.scores + (long)BAND * m.wide_keys;
  m.results = m.score_slopes + (long)BAND * m.wide_keys;
  m.end = m.results + (long)ROWS * m.wide_dims;
  return m;
}

// One band of one head's queries, rows row to end of the sequence: its part of the sums, and its own slopes.
static __attribute__((noinline)) void band(const struct memory *m, const float *q, long q_stride, const float *d_out,
                                           long d_out_stride, int row, int end, int dims, float scale, float *dq,
                                           long dq_stride) {
  const long wide = m->wide_keys;
  straight_panels(F32, q + row * q_stride, q_stride, end - row, dims, m->queries, m->band_panel);
  straight_panels(F32, d_out + row * d_out_stride, d_out_stride, end - row, dims, m->slopes, m->band_panel);
  for (int first = row; first < end; first += ROWS) {
    const int some = lesser(ROWS, end - first), seen = first + some, whole = round_up(seen, LANES);
    float *p = m->scores + (first - row) * wide, *d = m->score_slopes + (first - row) * wide;
    tiles(some, seen, 0, q + first * q_stride, q_stride, dims, m->turned_keys, m->turned_panel, p, wide);
    tiles(some, seen, 0, d_out + first * d_out_stride, d_out_stride, dims, m->turned_values, m->turned_panel, d, wide);
    for (int r = 0; r < some; r++) {
      probabilities(p + r * wide, first + r + 1, whole, scale);
      softmax_backward(p + r * wide, d + r * wide, whole);
      for (int j = whole; j < end; j++) {
        p[r * wide + j] = d[r * wide + j] = 0;
      }
    }
    tiles(some, dims, 0, d, wide, seen, m->keys, m->key_panel, m->results, m->wide_dims);
    for (int r = 0; r < some; r++) {
      store_row(m->results + (long)r * m->wide_dims, dims, scale, dq + (first + r) * dq_stride);
    }
  }
  for (int j = 0; j < end; j += ROWS) {
    const int some = lesser(ROWS, end - j);
    tiles_of_columns(some, dims, m->scores + j, wide, end - row, m->slopes, m->band_panel,
                     m->value_sums + (long)j * m->wide_dims, m->wide_dims);
    tiles_of_columns(some, dims, m->score_slopes + j, wide, end - row, m->queries, m->band_panel,
                     m->key_sums + (long)j * m->wide_dims, m->wide_dims);
  }
}

static __attribute__((noinline)) void attention_backward(const float *q, long q_stride, const float *d_out,
                                                         long d_out_stride, int n, int dims, int group, float scale,
                                                         const float *const *blocks, int step, float *dq,
                                                         long dq_stride, float *dk, long dk_stride, float *dv,
                                                         long dv_stride, float *scratch) {
  const struct memory m = divide(n, dims, step, scratch);
  for (int from = 0; from < n; from += step, blocks += 2) {
    const int size = lesser(step, n - from);
    const long at = from / WIDTH * m.turned_panel;
    turned_panels(F32, blocks[0], dims, size, dims, m.turned_keys + at, m.turned_panel);
    turned_panels(F32, blocks[1], dims, size, dims, m.turned_values + at, m.turned_panel);
    straight_panels(F32, blocks[0], dims, size, dims, m.keys + (long)from * WIDTH, m.key_panel);
  }
  for (long i = 0; i < (long)n * m.wide_dims; i += LANES) {
    store(m.key_sums + i, zero());
    store(m.value_sums + i, zero());
  }
  for (int head = 0; head < group; head++) {
    for (int row = 0; row < n; row += BAND) {
      band(&m, q + (long)head * dims, q_stride, d_out + (long)head * dims, d_out_stride, row, lesser(row + BAND, n), dims,
           scale, dq + (long)head * dims, dq_stride);
    }
  }
  for (int j = 0; j < n; j++) {
    store_row(m.key_sums + (long)j * m.wide_dims, dims, scale, dk + j * dk_stride);
    store_row(m.value_sums + (long)j * m.wide_dims, dims, 1, dv + j * dv_stride);
  }
}

// Floats of scratch that its backward pass needs.
long SUFFIX(mg_attention_backward_scratch)(int n, int dims, int step) { return divide(n, dims, step, 0).end - (float *)0; }

// Slopes of a sequence that sees no keys but its own: one key head, with the `group` heads of queries that follow each
// other and share it. q, d_out, dq [n][group * dims]; blocks as above, of dense rows, step a multiple of 32; dk, dv [n][dims].
int SUFFIX(mg_attention_backward)(const float *q, long q_stride, const float *d_out, long d_out_stride, int n, int dims,
                                  int group, float scale, const float *const *blocks, int step, float *dq,
                                  long dq_stride, float *dk, long dk_stride, float *dv, long dv_stride,
                                  float *scratch) {
  GUARDED(attention_backward(q, q_stride, d_out, d_out_stride, n, dims, group, scale, blocks, step, dq, dq_stride, dk,
                             dk_stride, dv, dv_stride, scratch));
}
