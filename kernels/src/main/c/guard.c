#define _GNU_SOURCE
#include "guard.h"
#include <signal.h>

__thread void **mg_way_out;

static struct sigaction before;

static void on_bus_error(int signal, siginfo_t *information, void *context) {
  if (mg_way_out) {
    void **way_out = mg_way_out;
    mg_way_out = 0;
    __builtin_longjmp(way_out, 1);
  }
  // Not ours: the virtual machine's, whose own reads of mapped files throw.
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, information, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    sigaction(signal, &before, 0); // The instruction is tried again, and the process ends.
  }
}

// Once in a process, after the virtual machine has installed its handlers; again it does nothing. Returns whether that
// failed.
int mg_guard(void) {
  static int done;
  if (done++) {
    return 0;
  }
  struct sigaction ours = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_NODEFER};
  return sigaction(SIGBUS, 0, &before) != 0 || sigaction(SIGBUS, &ours, 0) != 0;
}
