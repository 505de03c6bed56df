// Blocked products: weights are converted into panels, in which consecutive columns of the result lie in consecutive
// lanes; a tile of the result stays in registers while a panel goes by.
//
// A tile is up to 14 rows by two vectors with AVX-512, 28 of the 32 registers; of the panel it reads 128 bytes for as
// many multiplications as take 14 cycles or more. With AVX2 it is up to 6 rows.

#ifndef MULTIPLY_ADD
#define MULTIPLY_ADD fma
#endif

enum { WIDTH = 2 * LANES };

#if LANES_16
enum { ROWS = 14 };
#else
enum { ROWS = 6 };
#endif

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

// What comes next in memory, fetched a few lines at a time.
struct ahead {
  const char *at;
  long row_bytes;
  int lines_of_row, line;
  int left;
  int each;
};

INLINE void fetch(struct ahead *next) {
  const int count = next->each < next->left ? next->each : next->left;
  for (int i = 0; i < count; i++) {
    _mm_prefetch(next->at + (long)next->line * 64, _MM_HINT_T1);
    if (++next->line == next->lines_of_row) {
      next->line = 0;
      next->at += next->row_bytes;
    }
  }
  next->left -= count;
}

// Multiplications between two fetches.
enum { STRETCH = 32 };

// out[r][..] (+)= sum over c < k of x[r * x_row + c * x_column] * panel[c][..], one or two vectors of columns. Every
// element is one chain of additions over c, in order. Meanwhile what comes next is fetched, unless that is null.
INLINE void tile(int rows, int vectors, int add, const float *x, long x_row, long x_column, int k, const float *panel,
                 float *out, long out_stride, struct ahead *next) {
  vector sum[ROWS][2];
#pragma GCC unroll 14
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      sum[r][v] = add ? load(out + r * out_stride + v * LANES) : zero();
    }
  }
  for (int c = 0; c < k;) {
    const int end = next && c + STRETCH < k ? c + STRETCH : k;
    if (next) {
      fetch(next);
    }
    for (; c < end; c++) {
      vector columns[2];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) {
        columns[v] = load(panel + (long)c * WIDTH + v * LANES);
      }
#pragma GCC unroll 14
      for (int r = 0; r < rows; r++) {
        const vector value = all(x[r * x_row + c * x_column]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
          sum[r][v] = MULTIPLY_ADD(value, columns[v], sum[r][v]);
        }
      }
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      store(out + r * out_stride + v * LANES, sum[r][v]);
    }
  }
}

#define TILE(rows)                                                                  \
  case rows:                                                                        \
    tile(rows, vectors, add, x, x_row, x_column, k, panel, out, out_stride, next);  \
    break;

// rows: from 1 to ROWS. vectors, x_column and whether there is something next are constants where this is called.
INLINE void any_tile(int rows, int vectors, int add, const float *x, long x_row, long x_column, int k,
                     const float *panel, float *out, long out_stride, struct ahead *next) {
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
