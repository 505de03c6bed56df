package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.ptx.Ptx;
import io.minigpt4.softgpu.ptx.Ptx.Function;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.run.Code;
import io.minigpt4.softgpu.run.Kernel;
import io.minigpt4.softgpu.run.Node;
import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassFile;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.Label;
import java.lang.classfile.instruction.SwitchCase;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.AccessFlag;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.ToLongFunction;

/** Compiles one kernel of a module to classes. */
public final class KernelCompiler {
  private static final ClassDesc SELF =
      ClassDesc.of(KernelCompiler.class.getPackageName(), "Generated");
  private static final MethodTypeDesc STRETCH =
      MethodTypeDesc.of(ConstantDescs.CD_int, Emit.WARP, ConstantDescs.CD_int);
  private static final MethodTypeDesc RUN =
      MethodTypeDesc.of(
          ConstantDescs.CD_int, ConstantDescs.CD_int, Emit.WARP, ConstantDescs.CD_int);

  private final Lowering.Program program;
  private final Flow flow;
  private final ToLongFunction<Variable> globals;
  private final List<Kernel.Site> sites = new ArrayList<>();
  private final Kernel signature;

  private KernelCompiler(Ptx.Module module, Function kernel, ToLongFunction<Variable> globals) {
    this.program = Lowering.lower(module, kernel);
    this.flow = new Flow(program.ops());
    this.globals = globals;
    this.signature = kernel(List.of(), List.of());
  }

  /**
   * Compiles a kernel.
   *
   * @param globals gives the address of each global and constant variable of the module
   * @throws io.minigpt4.softgpu.ptx.PtxException naming the line of an instruction that is not
   *     supported
   */
  public static Kernel compile(
      Ptx.Module module, Function kernel, ToLongFunction<Variable> globals) {
    return new KernelCompiler(module, kernel, globals).run();
  }

  private Kernel run() {
    int n = flow.nodeBlocks.size();
    Node[] nodes = new Node[n];
    NodeFactory factory = new NodeFactory(flow, program);
    for (int i = 0; i < n; i++) {
      Flow.Block b = flow.blocks.get(flow.nodeBlocks.get(i));
      Op op = flow.ops.get(b.start);
      sites.add(new Kernel.Site(op.line(), op.opcode()));
      int site = sites.size() - 1;
      nodes[i] = i > 0 && b.isNode ? factory.make(op, site) : new Node.Cut(site);
    }
    int classes = (n + Kernel.NODES_PER_CLASS - 1) / Kernel.NODES_PER_CLASS;
    Code[] code = new Code[classes];
    for (int i = 0; i < classes; i++) {
      int from = i * Kernel.NODES_PER_CLASS;
      code[i] = define(from, Math.min(n, from + Kernel.NODES_PER_CLASS));
    }
    return kernel(List.of(nodes), List.of(code));
  }

  private Kernel kernel(List<Node> nodes, List<Code> code) {
    Function f = program.kernel();
    List<Kernel.Param> params = new ArrayList<>();
    for (Variable p : f.params()) {
      int offset = Objects.requireNonNull(program.offsets().get(p)).intValue();
      params.add(new Kernel.Param(p.name(), offset, (int) p.size(), p.align()));
    }
    return new Kernel(
        f.name(),
        params,
        nodes,
        code,
        flow.slots32,
        flow.slots64,
        program.sharedBytes(),
        program.sharedAlign(),
        program.dynamicShared(),
        program.localBytes(),
        List.copyOf(sites),
        f.maxThreads(),
        f.requiredBlock());
  }

  /** Defines the class that runs the stretches behind nodes {@code from} to {@code to}. */
  private Code define(int from, int to) {
    byte[] bytes =
        ClassFile.of()
            .build(
                SELF,
                c -> {
                  c.withSuperclass(Emit.desc(Code.class));
                  c.withFlags(AccessFlag.FINAL, AccessFlag.SUPER);
                  constructor(c);
                  dispatch(c, from, to);
                  for (int node = from; node < to; node++) {
                    stretch(c, node);
                  }
                });
    try {
      MethodHandles.Lookup own = MethodHandles.lookup().defineHiddenClass(bytes, true);
      return (Code) own.lookupClass().getDeclaredConstructor().newInstance();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("generated class cannot be loaded", e);
    }
  }

  private static void constructor(ClassBuilder c) {
    c.withMethodBody(
        ConstantDescs.INIT_NAME,
        ConstantDescs.MTD_void,
        ClassFile.ACC_PUBLIC,
        code ->
            code.aload(0)
                .invokespecial(
                    Emit.desc(Code.class), ConstantDescs.INIT_NAME, ConstantDescs.MTD_void)
                .return_());
  }

  private static void dispatch(ClassBuilder c, int from, int to) {
    c.withMethodBody("run", RUN, ClassFile.ACC_PUBLIC, code -> dispatchBody(code, from, to));
  }

  private static void dispatchBody(CodeBuilder code, int from, int to) {
    List<SwitchCase> cases = new ArrayList<>();
    for (int node = from; node < to; node++) {
      cases.add(SwitchCase.of(node, code.newLabel()));
    }
    Label none = code.newLabel();
    code.iload(1).tableswitch(none, cases);
    for (SwitchCase s : cases) {
      code.labelBinding(s.target())
          .aload(2)
          .iload(3)
          .invokestatic(SELF, "after" + s.caseValue(), STRETCH)
          .ireturn();
    }
    code.labelBinding(none).loadConstant(Code.MIXED).ireturn();
  }

  private void stretch(ClassBuilder c, int node) {
    c.withMethodBody(
        "after" + node,
        STRETCH,
        ClassFile.ACC_PRIVATE | ClassFile.ACC_STATIC,
        code ->
            new StretchWriter(flow, new Emit(code, program, globals, sites), signature)
                .write(node));
  }
}
