// How kernels see sequences and the paged key/value cache. All of it is in device memory, so that a captured graph
// replays with lengths and pages that changed since.
#pragma once

constexpr int PAGE = 64;  // tokens of a page, KvCache.Pool.PAGE

// A sequence of the batch: rows [start, start + rows) are the tokens that follow `past` cached ones; the addresses
// of its pages begin at slot firstPage of the array of page addresses.
struct __align__(16) Sequence {
  int rows, start, past, firstPage;
};
