"""The store, keys and stages; a recipe's build, and the run of a comparison."""
