// Which of this library's functions the processor can run and the operating system lets it.
#include <cpuid.h>

// Bits of mg_features.
enum { AVX2 = 1, AVX512 = 2, AVX512_VNNI = 4, AVX512_BF16 = 8 };

static unsigned enabled_registers(void) {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

static int all(unsigned value, unsigned bits) { return (value & bits) == bits; }

int mg_features(void) {
  unsigned a, b, c, d, b7, c7, d7;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit_FMA | bit_F16C | bit_AVX | bit_OSXSAVE)) {
    return 0;
  }
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !all(b7, bit_AVX2)) {
    return 0;
  }
  unsigned registers = enabled_registers();
  if (!all(registers, 0x06)) { // lower and upper halves of 256 bits
    return 0;
  }
  int out = AVX2;
  if (all(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) && all(registers, 0xe6)) {
    out |= AVX512;
    if (all(c7, bit_AVX512VNNI)) {
      out |= AVX512_VNNI;
    }
    unsigned a1, b1, c1, d1;
    if (__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && all(a1, bit_AVX512BF16)) {
      out |= AVX512_BF16;
    }
  }
  return out;
}

// What the library was compiled from.
const char mg_sources[] = SOURCES;
