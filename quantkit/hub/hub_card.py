"""The model card with the metadata that the hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from quantkit.bundle.card import Publication, model_card
from quantkit.hub.evaluation import TASK, Evaluation
from quantkit.hub.license import License
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import HubSource, parse_source


def hub_card(
    manifest: Mapping[str, Any],
    recipe: Recipe,
    publication: Publication,
    terms: License | None,
    evaluation: Evaluation | None,
) -> str:
    """The card of an artifact, with license, base model and word error rates as metadata."""
    source = parse_source(recipe.model.source)
    base = source.repository if isinstance(source, HubSource) else None
    data = ModelCardData(
        license=terms.id if terms else None,
        license_name=terms.name if terms else None,
        license_link=terms.link if terms else None,
        language=evaluation.report.suite.language if evaluation else None,
        library_name="quantkit",
        pipeline_tag=TASK,
        tags=["onnx", "onnxruntime", "streaming", "transducer"],
        base_model=base,
        base_model_relation="quantized" if base and recipe.quantize is not None else None,
        model_name=recipe.name if evaluation else None,
        eval_results=evaluation.results() if evaluation else None,
    )
    body = model_card(manifest, publication)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))
