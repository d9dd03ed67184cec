"""The command `modelyard`: the operator, and beside it `modelyard simulate`."""

import sys


def main() -> None:
    """Each imports only what it needs: the operator's image has nothing that draws."""
    if sys.argv[1:2] == ["simulate"]:
        from modelyard.simulate.command import main as simulate  # noqa: PLC0415

        sys.exit(simulate(sys.argv[2:]))
    from modelyard.controller.__main__ import main as operate  # noqa: PLC0415

    operate()


if __name__ == "__main__":
    main()
