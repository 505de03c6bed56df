// out[i][j] = sum over c of x[i][c] * w[j][c]: linear layers of decoding, where every weight is used only a few times
// and its way from memory decides. Weights are float32, float16 or bfloat16, arithmetic is float32.
//
// Bytes: the weights once. FLOPs: two for each weight and row of x. Bound by memory up to about eight rows of x.
//
// A tile is up to six rows of x by four or eight rows of w, a vector of sums for each pair. So a product's order of
// additions is the same in every tile, and a row's results do not depend on how many rows there are. The rows of a
// tile's w are as far from each other as they can be: each is a stream that goes on without a gap from tile to tile.
#include "guard.h"
#include "vector.h"

enum { LINE = 64 };

// Bytes by which loads of weights are preceded by a prefetch. The processor's own prefetcher starts anew in every
// page of 4 KiB and keeps fewer lines under way than a core can take: with float16 it alone reaches 80 % of the
// bandwidth, with this 95 %. From 512 to 1024 it makes no difference.
enum { AHEAD = 512 };

INLINE void tile(int type, int rows, int columns, const float *x, const char *w, long apart, int k, long ahead,
                 float *out, long out_stride, long out_apart) {
  const int size = type == F32 ? 4 : 2;
  vector sum[6][8];
#pragma GCC unroll 6
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
    for (int c = 0; c < columns; c++) {
      sum[r][c] = zero();
    }
  }
  int i = 0;
  for (; i + LINE / size <= k; i += LINE / size) {
#pragma GCC unroll 8
    for (int c = 0; c < columns; c++) {
      prefetch(w + c * apart + (long)i * size + ahead);
    }
#pragma GCC unroll 4
    for (int part = 0; part < LINE / size; part += LANES) {
      vector values[6];
#pragma GCC unroll 6
      for (int r = 0; r < rows; r++) {
        values[r] = load(x + (long)r * k + i + part);
      }
#pragma GCC unroll 8
      for (int c = 0; c < columns; c++) {
        vector weights = load_weights(type, w + c * apart + (long)(i + part) * size);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
          sum[r][c] = fma(values[r], weights, sum[r][c]);
        }
      }
    }
  }
  for (; i < k; i += LANES) {
    const int count = k - i < LANES ? k - i : LANES;
#pragma GCC unroll 8
    for (int c = 0; c < columns; c++) {
      vector weights = load_first_weights(type, w + c * apart + (long)i * size, count);
#pragma GCC unroll 6
      for (int r = 0; r < rows; r++) {
        sum[r][c] = fma(load_first(x + (long)r * k + i, count), weights, sum[r][c]);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < rows; r++) {
    if (columns == 1) {
      out[r * out_stride] = _mm_cvtss_f32(sums(sum[r][0], sum[r][0], sum[r][0], sum[r][0]));
    } else {
#pragma GCC unroll 2
      for (int c = 0; c < columns; c += 4) {
        float four[4];
        _mm_storeu_ps(four, sums(sum[r][c], sum[r][c + 1], sum[r][c + 2], sum[r][c + 3]));
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++) {
          out[r * out_stride + (c + l) * out_apart] = four[l];
        }
      }
    }
  }
}

#define TILE(rows, columns)                                                                  \
  case 16 * rows + columns:                                                                  \
    tile(type, rows, columns, x, w, apart, k, ahead, out, out_stride, out_apart);            \
    break;

// Tiles for which there are registers.
INLINE void any_tile(int type, int rows, int columns, const float *x, const char *w, long apart, int k, long ahead,
                     float *out, long out_stride, long out_apart) {
  switch (16 * rows + columns) {
    TILE(1, 1)
    TILE(2, 1)
    TILE(3, 1)
    TILE(1, 8)
    TILE(2, 4)
    TILE(3, 4)
#if LANES_16
    TILE(4, 1)
    TILE(5, 1)
    TILE(6, 1)
    TILE(2, 8)
    TILE(3, 8)
    TILE(4, 4)
    TILE(5, 4)
    TILE(6, 4)
#endif
  }
}

INLINE void dots(int type, const float *x, int m, const char *w, long row_bytes, int n, int k, float *out,
                 long out_stride) {
#if LANES_16
  const int most = 6;
  const int columns = m <= 3 ? 8 : 4;
#else
  const int most = 3;
  const int columns = m == 1 ? 8 : 4;
#endif
  const int blocks = (m + most - 1) / most;
  const long each = n / columns;
  for (long j = 0; j < n;) {
    const int across = j < each ? columns : 1;
    for (int block = 0; block < blocks; block++) {
      const int first = m * block / blocks;
      const int rows = m * (block + 1) / blocks - first;
      any_tile(type, rows, across, x + (long)first * k, w + j * row_bytes, each * row_bytes, k,
               block == 0 ? AHEAD : 0, out + first * out_stride + j, out_stride, each);
    }
    j = j + 1 == each ? columns * each : j + 1;
  }
}

static __attribute__((noinline)) void dots_of(int type, const float *x, int m, const char *w, long row_bytes, int n,
                                              int k, float *out, long out_stride) {
  switch (type) {
    case F32: dots(F32, x, m, w, row_bytes, n, k, out, out_stride); break;
    case F16: dots(F16, x, m, w, row_bytes, n, k, out, out_stride); break;
    case BF16: dots(BF16, x, m, w, row_bytes, n, k, out, out_stride); break;
  }
}

// type 0 float32, 1 float16, 2 bfloat16; x [m][k], w n rows of k elements, out m rows of n.
int SUFFIX(mg_dots)(int type, const float *x, int m, const char *w, long row_bytes, int n, int k, float *out,
                    long out_stride) {
  GUARDED(dots_of(type, x, m, w, row_bytes, n, k, out, out_stride));
}
