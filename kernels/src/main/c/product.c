// out[i][j] (+)= sum over c of x[i][c] * w[j][c]: products of many rows, as a picture's encoding, a prompt's prefill
// and training make them. Weights are float32, float16 or bfloat16, arithmetic is float32.
//
// This is the blocked product of Goto and van de Geijn (2008), a block of it at a call: up to 2048 columns c, two
// vectors of columns j. The weights of a block become a panel, of 256 KiB at most with AVX-512, which stays in the
// second-level cache. While its tiles are computed the weights of the block that comes next are fetched.
//
// Every element of out is one chain of additions over c, in order, whatever the number of rows.
#include "guard.h"
#include "vector.h"
#include "panel.h"

enum { LINE = 64 };

// ---- weights

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

static __attribute__((noinline)) void one_tile(int rows, int add, const float *x, long x_row, int k, const float *panel,
                                               float *out, long out_stride, struct ahead *next) {
  any_tile(rows, 2, add, x, x_row, 1, k, panel, out, out_stride, next);
}

// ---- bias and GELU

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

static void copy_floats(const float *from, long from_stride, float *to, long to_stride, int rows, int columns) {
  for (int r = 0; r < rows; r++) {
    for (int c = 0; c < columns; c++) {
      to[r * to_stride + c] = from[r * from_stride + c];
    }
  }
}

static __attribute__((noinline)) void product(int type, const float *x, long x_row, int rows, int k, const char *w, long row_bytes,
                                              int by_columns, int columns, float *panel, float *out, long out_stride,
                                              int add, const float *bias, int gelu, const char *next, int next_k) {
  pack(type, by_columns, w, row_bytes, columns, k, panel);
  const int size = type == F32 ? 4 : 2;
  const int tiles = (rows + ROWS - 1) / ROWS;
  struct ahead ahead = {next, row_bytes, 1, 0, 0, 0};
  if (next) {
    const int stretches = tiles * ((k + STRETCH - 1) / STRETCH);
    ahead.lines_of_row = ((by_columns ? columns : next_k) * size + LINE - 1) / LINE;
    ahead.left = ahead.lines_of_row * (by_columns ? next_k : columns);
    ahead.each = (ahead.left + stretches - 1) / stretches;
  }
  float edge[ROWS * WIDTH], edge_bias[WIDTH] = {0};
  if (bias && columns < WIDTH) {
    copy_floats(bias, 0, edge_bias, 0, 1, columns);
    bias = edge_bias;
  }
  for (int t = 0; t < tiles; t++) {
    const int first = (int)((long)rows * t / tiles);
    const int some = (int)((long)rows * (t + 1) / tiles) - first;
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
    one_tile(some, add, x + first * x_row, x_row, k, panel, at, stride, &ahead);
    if (bias) {
      finish(some, bias, gelu, at, stride);
    }
    if (columns < WIDTH) {
      copy_floats(edge, WIDTH, to, out_stride, some, columns);
    }
  }
}

// A block: x [rows][k], its rows x_row from each other, w `columns` rows of k elements, or, by columns, k rows of `columns`, at most WIDTH; added to
// what out holds or not; then, unless null, bias added and GELU taken. next: where the next block, next_k deep, begins,
// or null. panel: (k + LANES) * WIDTH floats.
int SUFFIX(mg_product)(int type, const float *x, long x_row, int rows, int k, const char *w, long row_bytes, int by_columns,
                       int columns, float *panel, float *out, long out_stride, int add, const float *bias, int gelu,
                       const char *next, int next_k) {
  GUARDED(product(type, x, x_row, rows, k, w, row_bytes, by_columns, columns, panel, out, out_stride, add, bias, gelu, next,
                  next_k));
}
