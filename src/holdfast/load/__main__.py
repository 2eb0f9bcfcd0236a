"""`python -m holdfast.load RUN_FOLDER`: what `holdfast.customers` starts."""

import sys

from holdfast.load.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
