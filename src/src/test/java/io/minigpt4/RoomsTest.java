package io.minigpt4;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The house's rule: a room imports only from floors below its own, never upwards or sideways. */
class RoomsTest {
  private static final String ROOT = "io.minigpt4";

  /** Lowest first. */
  private static final List<List<String>> FLOORS =
      List.of(
          List.of("tensor"),
          List.of("checkpoint", "text", "image", "config"),
          List.of("model", "autograd", "cpu", "cuda"),
          List.of("generate", "distributed"),
          List.of("chat", "train"),
          List.of("serve", "api"),
          List.of("cli"));

  private static final JavaClasses ENGINE =
      new ClassFileImporter()
          .importUrl(Launcher.class.getProtectionDomain().getCodeSource().getLocation());

  @TestFactory
  Stream<DynamicTest> roomsImportOnlyFromLowerFloors() {
    List<DynamicTest> tests = new ArrayList<>();
    for (int floor = 0; floor < FLOORS.size(); floor++) {
      for (String room : FLOORS.get(floor)) {
        String[] forbidden = packages(roomsNotBelow(floor, room));
        tests.add(
            DynamicTest.dynamicTest(
                room,
                () ->
                    noClasses()
                        .that()
                        .resideInAPackage(packageOf(room))
                        .should()
                        .dependOnClassesThat()
                        .resideInAnyPackage(forbidden)
                        .allowEmptyShould(true)
                        .check(ENGINE)));
      }
    }
    return tests.stream();
  }

  @Test
  void everyClassIsInAKnownRoom() {
    List<String> rooms = FLOORS.stream().flatMap(List::stream).toList();
    List<String> allowed = new ArrayList<>(List.of(packages(rooms)));
    allowed.add(ROOT);
    classes().should().resideInAnyPackage(allowed.toArray(String[]::new)).check(ENGINE);
  }

  @Test
  void theLauncherNeedsNoRoom() {
    List<String> rooms = FLOORS.stream().flatMap(List::stream).toList();
    noClasses()
        .that()
        .resideInAPackage(ROOT)
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(packages(rooms))
        .check(ENGINE);
  }

  /**
   * Class files too new for the importer would be skipped, and every rule hold for want of them.
   */
  @Test
  void classesAreRead() {
    assertThat(ENGINE.stream().map(JavaClass::getName))
        .contains("io.minigpt4.tensor.Tensor", "io.minigpt4.cli.Main", "io.minigpt4.Launcher");
    assertThat(ENGINE.get("io.minigpt4.cli.Commands").getDirectDependenciesFromSelf())
        .anyMatch(use -> use.getTargetClass().getName().equals("io.minigpt4.tensor.UserException"));
  }

  private static List<String> roomsNotBelow(int floor, String room) {
    return FLOORS.subList(floor, FLOORS.size()).stream()
        .flatMap(List::stream)
        .filter(other -> !other.equals(room))
        .toList();
  }

  private static String[] packages(List<String> rooms) {
    return rooms.stream().map(RoomsTest::packageOf).toArray(String[]::new);
  }

  private static String packageOf(String room) {
    return ROOT + "." + room + "..";
  }
}
