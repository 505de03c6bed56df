// Weights are mapped files. Where a page of one cannot be read any more, because the file was cut short or its disk
// failed, the kernel that reads it gets SIGBUS; it must not take the virtual machine with it.

// Where this thread goes on after a bad page: null outside kernels.
extern __thread void **mg_way_out __attribute__((visibility("hidden"), tls_model("initial-exec")));

// The last lines of an exported function: does the work, which must not be inlined, and returns whether pages could
// not be read. Kernels hold nothing that would have to be given back.
#define GUARDED(work)                 \
  void *way_out[5];                   \
  if (__builtin_setjmp(way_out)) {    \
    return 1;                         \
  }                                   \
  mg_way_out = way_out;               \
  work;                               \
  mg_way_out = 0;                     \
  return 0
