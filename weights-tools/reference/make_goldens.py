"""Makes the golden files that the Java tests read.

    python make_goldens.py OUT [AREA...]

OUT is the folder of golden files (src/src/test/resources/golden in this repository); without an AREA all are made.
"""

import argparse
import importlib
from pathlib import Path

AREAS = ["tokenizer", "images", "tiny", "model", "ops", "generation", "training", "weights"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("area", nargs="*", choices=[[], *AREAS], help="one or more of " + ", ".join(AREAS))
    arguments = parser.parse_args()
    for area in arguments.area or AREAS:
        importlib.import_module(f"golden_{area}").make(arguments.out / area)
        print(f"made {arguments.out / area}")


if __name__ == "__main__":
    main()
