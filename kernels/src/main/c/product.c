// out[i][j] (+)= sum over c of x[i][c] * w[j][c]: products of many rows, as a picture's encoding, a prompt's prefill
// and training make them. Weights are float32, float16 or bfloat16, arithmetic is float32.
//
// This is the blocked product of Goto and van de Geijn (2008), a block of it at a call: some hundreds of columns c, two
// vectors of columns j. The weights of a block are converted into a panel in which consecutive j lie in consecutive
// lanes, of 64 KiB with AVX-512, which stays in the second-level cache. A tile of out is up to 14 rows by those two
// vectors, 28 of the 32 registers; of the panel it reads 128 bytes for as many multiplications as take 14 cycles or
// more. While tiles are computed the weights of the block that comes next are fetched.
//
// Every element of out is one chain of additions over c, in order, whatever the number of rows.
#include "guard.h"
#include "vector.h"

enum { LINE = 64, WIDTH = 2 * LANES };

#if LANES_16
enum { ROWS = 14 };
#else
enum { ROWS = 6 };
#endif

// ---- weights

// Element [c][j] of the panel from element [j][c] of weights in memory, j < columns, c < k. The panel has room for whole
// vectors of c.
INLINE void pack_rows_of(int type, const char *w, long row_bytes, int columns, int k, float *panel) {
  const int size = type == F32 ? 4 : 2;
  for (int c = 0; c < k; c += LANES) {
    const int count = k - c < LANES ? k - c : LANES;
#pragma GCC unroll 2
    for (int part = 0; part < WIDTH; part += LANES) {
      vector rows[LANES];
      if (count == LANES && part + LANES <= columns) {
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) {
          rows[j] = load_weights(type, w + (part + j) * row_bytes + (long)c * size);
        }
      } else {
        for (int j = 0; j < LANES; j++) {
          rows[j] = part + j < columns ? load_first_weights(type, w + (part + j) * row_bytes + (long)c * size, count) : zero();
        }
      }
      store_transposed(rows, panel + (long)c * WIDTH + part, WIDTH);
    }
  }
}

// The same from element [c][j] of weights in memory.
INLINE void pack_columns_of(int type, const char *w, long row_bytes, int columns, int k, float *panel) {
  const int size = type == F32 ? 4 : 2;
  for (int c = 0; c < k; c++) {
#pragma GCC unroll 2
    for (int part = 0; part < WIDTH; part += LANES) {
      const char *at = w + c * row_bytes + (long)part * size;
      const int count = columns - part;
      vector some = count >= LANES ? load_weights(type, at) : count > 0 ? load_first_weights(type, at, count) : zero();
      store(panel + (long)c * WIDTH + part, some);
    }
  }
}

static __attribute__((noinline)) void pack(int type, int by_columns, const char *w, long row_bytes, int columns, int k,
                                           float *panel) {
  switch (2 * type + by_columns) {
    case 2 * F32: pack_rows_of(F32, w, row_bytes, columns, k, panel); break;
    case 2 * F16: pack_rows_of(F16, w, row_bytes, columns, k, panel); break;
    case 2 * BF16: pack_rows_of(BF16, w, row_bytes, columns, k, panel); break;
    case 2 * F32 + 1: pack_columns_of(F32, w, row_bytes, columns, k, panel); break;
    case 2 * F16 + 1: pack_columns_of(F16, w, row_bytes, columns, k, panel); break;
    case 2 * BF16 + 1: pack_columns_of(BF16, w, row_bytes, columns, k, panel); break;
  }
}

// ---- tiles

INLINE void tile(int rows, int add, const float *x, int k, const float *panel, float *out, long out_stride) {
  vector sum[ROWS][2];
#pragma GCC unroll 14
  for (int r = 0; r < rows; r++) {
    sum[r][0] = add ? load(out + r * out_stride) : zero();
    sum[r][1] = add ? load(out + r * out_stride + LANES) : zero();
  }
  for (int c = 0; c < k; c++) {
    const vector left = load(panel + (long)c * WIDTH);
    const vector right = load(panel + (long)c * WIDTH + LANES);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++) {
      const vector value = all(x[(long)r * k + c]);
      sum[r][0] = fma(value, left, sum[r][0]);
      sum[r][1] = fma(value, right, sum[r][1]);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < rows; r++) {
    store(out + r * out_stride, sum[r][0]);
    store(out + r * out_stride + LANES, sum[r][1]);
  }
}

#define TILE(rows)                                    \
  case rows:                                          \
    tile(rows, add, x, k, panel, out, out_stride);    \
    break;

static __attribute__((noinline)) void any_tile(int rows, int add, const float *x, int k, const float *panel, float *out,
                                               long out_stride) {
  switch (rows) {
    TILE(1)
    TILE(2)
    TILE(3)
    TILE(4)
    TILE(5)
    TILE(6)
#if LANES_16
    TILE(7)
    TILE(8)
    TILE(9)
    TILE(10)
    TILE(11)
    TILE(12)
    TILE(13)
    TILE(14)
#endif
  }
}

// ---- bias and GELU

// e^x for x <= 0, as VectorMath.exp computes it: x = n ln 2 + r, a polynomial in r, n put into the exponent.
INLINE vector exponential(vector x) {
  const vector lowest = all(-88.02969f), magic = all(12583039.0f);
  x = if_greater(lowest, x, lowest, x);
  const vector shifted = fma(x, all(1.442695f), magic);
  const vector n = shifted - magic;
  const vector r = fma(n, all(0.00021219444f), fma(n, all(-0.6933594f), x));
  vector p = all(0.00019875691f);
  p = fma(p, r, all(0.0013981999f));
  p = fma(p, r, all(0.008333452f));
  p = fma(p, r, all(0.041665796f));
  p = fma(p, r, all(0.16666666f));
  p = fma(p, r, all(0.5f));
  return fma(fma(p, r, all(1)), r, all(1)) * low_bits_as_exponent(shifted);
}

// x/2 (1 + erf(x / sqrt 2)), erf by Abramowitz and Stegun's 7.1.26.
INLINE vector gelu_of(vector x) {
  const vector a = magnitude(x) * all(0.70710677f);
  const vector t = all(1) / fma(a, all(0.3275911f), all(1));
  vector p = all(1.0614054f);
  p = fma(p, t, all(-1.4531521f));
  p = fma(p, t, all(1.4214138f));
  p = fma(p, t, all(-0.28449672f));
  p = fma(p, t, all(0.2548296f));
  const vector left = x * all(0.5f) * (p * t * exponential(zero() - a * a));
  return if_greater(x, zero(), x - left, left);
}

// out += bias, and GELU of that, over whole vectors.
static __attribute__((noinline)) void finish(int rows, const float *bias, int gelu, float *out, long out_stride) {
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
    for (int part = 0; part < WIDTH; part += LANES) {
      float *at = out + r * out_stride + part;
      const vector sum = load(at) + load(bias + part);
      store(at, gelu ? gelu_of(sum) : sum);
    }
  }
}

// ---- a block

struct ahead {
  const char *at;
  long row_bytes;
  long lines_of_row;
  long lines;
};

// Lines from one to another of what comes next.
INLINE void fetch(const struct ahead *next, long from, long to) {
  if (from >= to) {
    return;
  }
  long row = from / next->lines_of_row, line = from % next->lines_of_row;
  for (long i = from; i < to; i++) {
    _mm_prefetch(next->at + row * next->row_bytes + line * LINE, _MM_HINT_T1);
    if (++line == next->lines_of_row) {
      line = 0;
      row++;
    }
  }
}

static void copy_floats(const float *from, long from_stride, float *to, long to_stride, int rows, int columns) {
  for (int r = 0; r < rows; r++) {
    for (int c = 0; c < columns; c++) {
      to[r * to_stride + c] = from[r * from_stride + c];
    }
  }
}

static __attribute__((noinline)) void product(int type, const float *x, int rows, int k, const char *w, long row_bytes,
                                              int by_columns, int columns, float *panel, float *out, long out_stride,
                                              int add, const float *bias, int gelu, const char *next, int next_k) {
  pack(type, by_columns, w, row_bytes, columns, k, panel);
  const int size = type == F32 ? 4 : 2;
  struct ahead ahead = {next, row_bytes, 0, 0};
  if (next) {
    ahead.lines_of_row = ((long)(by_columns ? columns : next_k) * size + LINE - 1) / LINE;
    ahead.lines = ahead.lines_of_row * (by_columns ? next_k : columns);
  }
  float edge[ROWS * WIDTH], edge_bias[WIDTH] = {0};
  if (bias && columns < WIDTH) {
    copy_floats(bias, 0, edge_bias, 0, 1, columns);
    bias = edge_bias;
  }
  const int tiles = (rows + ROWS - 1) / ROWS;
  long fetched = 0;
  for (int t = 0; t < tiles; t++) {
    const int first = (int)((long)rows * t / tiles);
    const int some = (int)((long)rows * (t + 1) / tiles) - first;
    const long until = ahead.lines * (t + 1) / tiles;
    fetch(&ahead, fetched, until);
    fetched = until;
    float *to = out + first * out_stride;
    float *at = to;
    long stride = out_stride;
    if (columns < WIDTH) {
      at = edge;
      stride = WIDTH;
      if (add) {
        copy_floats(to, out_stride, edge, WIDTH, some, columns);
      }
    }
    any_tile(some, add, x + (long)first * k, k, panel, at, stride);
    if (bias) {
      finish(some, bias, gelu, at, stride);
    }
    if (columns < WIDTH) {
      copy_floats(edge, WIDTH, to, out_stride, some, columns);
    }
  }
}

// A block: x [rows][k], w `columns` rows of k elements, or, by columns, k rows of `columns`, at most WIDTH; added to
// what out holds or not; then, unless null, bias added and GELU taken. next: where the next block, next_k deep, begins,
// or null. panel: (k + LANES) * WIDTH floats.
int SUFFIX(mg_product)(int type, const float *x, int rows, int k, const char *w, long row_bytes, int by_columns,
                       int columns, float *panel, float *out, long out_stride, int add, const float *bias, int gelu,
                       const char *next, int next_k) {
  GUARDED(product(type, x, rows, k, w, row_bytes, by_columns, columns, panel, out, out_stride, add, bias, gelu, next,
                  next_k));
}
