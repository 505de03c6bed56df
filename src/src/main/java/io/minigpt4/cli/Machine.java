package io.minigpt4.cli;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;

/**
 * What the program runs on.
 *
 * @param system the operating system's name and version
 * @param architecture as Java calls it
 * @param processors how many this process may use
 * @param java the virtual machine's version and vendor
 * @param vectorModule whether the Vector API is there
 */
record Machine(
    String system, String architecture, int processors, String java, boolean vectorModule) {
  static Machine here() {
    return new Machine(
        System.getProperty("os.name") + " " + System.getProperty("os.version"),
        System.getProperty("os.arch"),
        Runtime.getRuntime().availableProcessors(),
        System.getProperty("java.vm.version") + " (" + System.getProperty("java.vendor") + ")",
        ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent() || hasVectorClass());
  }

  /** The system's memory in bytes; the largest number if it does not say. */
  static long memory() {
    return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system
        ? system.getTotalMemorySize()
        : Long.MAX_VALUE;
  }

  /** The launcher loads the module after the boot layer is made. */
  private static boolean hasVectorClass() {
    try {
      Class.forName("jdk.incubator.vector.FloatVector", false, Machine.class.getClassLoader());
      return true;
    } catch (ClassNotFoundException e) {
      return false;
    }
  }
}
