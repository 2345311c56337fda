"""The store, keys and stages; a recipe's build, and the run of a comparison."""

from quantkit.core.callable import make_callable

make_callable(__name__, "quantkit.build.api", "build")
