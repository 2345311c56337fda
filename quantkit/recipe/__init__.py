"""The YAML recipe as typed data: models, loading with line numbers, JSON Schema."""

from quantkit.recipe.load import load_recipe, located, recipe_schema
from quantkit.recipe.model import Gates, Recipe
from quantkit.recipe.source import parse_source

__all__ = ["Gates", "Recipe", "load_recipe", "located", "parse_source", "recipe_schema"]
