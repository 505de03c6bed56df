package io.minigpt4.softgpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.minigpt4.softgpu.check.Checks;
import io.minigpt4.softgpu.check.Fault;
import io.minigpt4.softgpu.check.Fault.Kind;
import io.minigpt4.softgpu.check.KernelFaultException;
import io.minigpt4.softgpu.ptx.PtxException;
import org.junit.jupiter.api.Test;

/** What kernels and callers do wrong is found and told. */
class FaultsTest {
  private static Fault first(Device d, String kernel, int block, Object... args) {
    KernelFaultException e =
        catchThrowableOfType(KernelFaultException.class, () -> d.launch(kernel, 1, block, args));
    assertThat(e).as(kernel).isNotNull();
    Fault f = e.faults().getFirst();
    assertThat(f.kernel()).isEqualTo(kernel);
    if (f.line() > 0) {
      // The line is that of the opcode in the module's text.
      assertThat(Device.ptx("faults").lines().skip(f.line() - 1).findFirst().orElseThrow())
          .contains(f.opcode());
    }
    return f;
  }

  @Test
  void memory() {
    try (Device d = new Device("faults")) {
      long in = d.put(new int[40]);
      long out = d.gpu.alloc(64 * 4);
      Fault f = first(d, "past_end", 32, in, out, 10);
      assertThat(f.kind()).isEqualTo(Kind.OUT_OF_BOUNDS);
      assertThat(f.thread()).isEqualTo(new Fault.Index(30, 0, 0));
      assertThat(f.detail()).contains("0 bytes past the end of allocation of 160 bytes");
      assertThat(first(d, "past_end", 32, in, out, -1).detail()).contains("4 bytes before");

      assertThat(first(d, "misaligned", 4, out).kind()).isEqualTo(Kind.MISALIGNED);

      Fault u = first(d, "unwritten", 8, d.gpu.alloc(32), out);
      assertThat(u.kind()).isEqualTo(Kind.UNINITIALISED);
      assertThat(u.thread()).isEqualTo(new Fault.Index(0, 0, 0));

      long gone = d.put(new int[8]);
      d.gpu.free(gone);
      assertThat(first(d, "unwritten", 8, gone, out).detail()).contains("in freed allocation");
      d.launch("reads_constant", 1, 4, out);
      assertThat(d.ints(out, 4)).containsExactly(1, 2, 1, 2);
      long constant = d.module.variable("fixed");
      assertThat(first(d, "misaligned", 1, constant).kind()).isEqualTo(Kind.READ_ONLY);
    }
  }

  @Test
  void sharedMemory() {
    try (Device d = new Device("faults")) {
      long out = d.gpu.alloc(64 * 4);
      // Each warp reads what the other writes; which of them runs first decides what is seen.
      KernelFaultException e =
          catchThrowableOfType(KernelFaultException.class, () -> d.launch("race", 1, 64, out));
      assertThat(e).isNotNull();
      assertThat(e.faults())
          .anyMatch(f -> f.kind() == Kind.SHARED_RACE || f.kind() == Kind.UNINITIALISED);
      assertThat(e.faults()).anyMatch(f -> f.kind() == Kind.SHARED_RACE);
      // A warp alone has no race: its lanes are not checked against each other.
      Fault o = first(d, "overwrite", 64, out);
      assertThat(o.kind()).isEqualTo(Kind.SHARED_RACE);
      assertThat(o.detail()).contains("was written by warp 0").contains("no barrier since");
      assertThat(first(d, "shared_unwritten", 32, out).kind()).isEqualTo(Kind.UNINITIALISED);
      long in = d.put(new int[128]);
      Fault w = first(d, "forgotten_wait", 32, in, d.gpu.alloc(512));
      assertThat(w.kind()).isEqualTo(Kind.UNINITIALISED);
      long from = d.put(new int[256]);
      Fault b = first(d, "barrier_before_wait", 64, from, d.gpu.alloc(1024));
      assertThat(b.kind()).isEqualTo(Kind.SHARED_RACE);
      assertThat(b.detail()).contains("(cp.async");
    }
  }

  @Test
  void checksCanBeSwitchedOff() {
    SoftGpuOptions few = SoftGpuOptions.defaults().withChecks(Checks.FEW);
    try (Device d = new Device("faults", few)) {
      long out = d.gpu.alloc(64 * 4);
      d.launch("overwrite", 1, 64, out);
      d.launch("unwritten", 1, 8, d.gpu.alloc(32), out);
      assertThat(first(d, "past_end", 32, out, out, 50).kind()).isEqualTo(Kind.OUT_OF_BOUNDS);
    }
  }

  @Test
  void waiting() {
    SoftGpuOptions quick = SoftGpuOptions.defaults().withChecks(new Checks(true, true, 16, 1));
    try (Device d = new Device("faults", quick)) {
      long out = d.gpu.alloc(64 * 4);
      assertThat(first(d, "split_barrier", 32, out).kind()).isEqualTo(Kind.DIVERGENT);
      Fault dead = first(d, "waits_for_ever", 64, out);
      assertThat(dead.kind()).isEqualTo(Kind.DEADLOCK);
      assertThat(dead.detail()).contains("warp 0 lanes ffffffff");
      assertThat(first(d, "half_warp_mma", 32, out).kind()).isEqualTo(Kind.DIVERGENT);
      assertThat(first(d, "endless", 1, d.put(0)).kind()).isEqualTo(Kind.TIMEOUT);
      assertThat(first(d, "asserts", 32, 3).kind()).isEqualTo(Kind.ASSERTION);
      d.launch("asserts", 1, 32, 4);
      assertThat(first(d, "traps", 32).kind()).isEqualTo(Kind.TRAP);
    }
  }

  @Test
  void launches() {
    try (Device d = new Device("faults")) {
      long out = d.gpu.alloc(64 * 4);
      assertThatIllegalArgumentException()
          .isThrownBy(() -> d.launch("unwritten", 1, 32, out))
          .withMessage("kernel unwritten takes 2 arguments, not 1");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> d.launch("past_end", 1, 32, out, out, 1L))
          .withMessageContaining("has 4 bytes, not 8");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> d.launch("traps", 1, 1025))
          .withMessageContaining("more than 1024 threads");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> d.gpu.launch(d.module.function("traps"), Dim3.of(1), Dim3.of(1), 49153))
          .withMessageContaining("more than 49152");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> d.module.function("nothing"))
          .withMessageContaining("no kernel nothing");
    }
  }

  @Test
  void unsupportedInstructionsAreRefusedWithTheirLine() {
    String head = ".version 7.1\n.target sm_80\n.address_size 64\n.visible .entry k() {\n";
    try (SoftGpu gpu = SoftGpu.create(SoftGpuOptions.defaults())) {
      assertThatThrownBy(
              () -> gpu.loadModule(head + ".reg .b32 %r<3>;\nvadd.s32 %r0, %r1, %r2;\nret;\n}"))
          .isInstanceOf(PtxException.class)
          .hasMessage("PTX line 6: instruction vadd.s32 is not supported");
      assertThatThrownBy(() -> gpu.loadModule(head + "bra nowhere;\n}"))
          .hasMessage("PTX line 5: no label nowhere");
      assertThatThrownBy(() -> gpu.loadModule(head + "call vprintf;\n}"))
          .hasMessageContaining("call of vprintf");
      assertThatThrownBy(() -> gpu.loadModule("hello")).isInstanceOf(PtxException.class);
      assertThatThrownBy(() -> gpu.loadModule(head.replace("sm_80", "sm_90") + "ret;\n}"))
          .hasMessageContaining("the module is for sm_90, this device is sm_80");
      assertThatThrownBy(() -> gpu.alloc(9L << 30)).isInstanceOf(OutOfMemoryError.class);
    }
  }
}
