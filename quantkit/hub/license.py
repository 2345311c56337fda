"""The license of an artifact: that of the model it was made from."""

from __future__ import annotations

from dataclasses import dataclass

from quantkit.core.errors import InputError
from quantkit.hub.client import Hub
from quantkit.recipe.source import DemoSource, HubSource, Source

#: As demo/MODEL_CARD.md says.
DEMO = "apache-2.0"


@dataclass(frozen=True)
class License:
    """An identifier of the hub; `other` has a name and a link as well."""

    id: str
    name: str | None = None
    link: str | None = None

    def __str__(self) -> str:
        text = self.name or self.id
        return f"[{text}]({self.link})" if self.link else text


def find_license(source: Source, given: str | None, hub: Hub | None) -> License | None:
    """The license of a source model.

    Args:
        source: of the artifact's recipe.
        given: an identifier, for sources that do not tell their license.
        hub: where sources on a hub are asked; None to touch no network.

    Returns:
        None only where the hub would have to be asked and must not be.

    Raises:
        InputError: it is not known, or another one is given than the source has.
    """
    match source:
        case DemoSource():
            return _agreed(License(DEMO), given, "the demo model")
        case HubSource() if hub is None:
            return License(given) if given else None
        case HubSource(repository, revision) if hub is not None:
            return _of_hub(hub, repository, revision, given)
    if given is None:
        raise InputError(
            "--license: the license of a .nemo file is not known, accepted: the identifier of the "
            "source model's license, such as apache-2.0 or cc-by-4.0"
        )
    return License(given)


def _of_hub(hub: Hub, repository: str, revision: str, given: str | None) -> License:
    where = f"hf://{repository}@{revision}"
    with hub.errors(f"the license of {where}"):
        info = hub.retried(lambda: hub.api.model_info(repository, revision=revision))
    data = info.card_data
    if data is not None and data.get("license") is not None:
        told = [data.get(key) for key in ("license", "license_name", "license_link")]
        if not all(isinstance(value, str | None) for value in told):
            raise InputError(f"{where}: its model card names a license that is no text: {told!r}")
        return _agreed(License(*told), given, where)
    if given is None:
        raise InputError(
            f"{where}: its model card names no license, so the artifact has none to be published "
            "under; ask its authors, then give it by --license"
        )
    return License(given)


def _agreed(terms: License, given: str | None, where: str) -> License:
    if given not in {None, terms.id}:
        raise InputError(
            f"--license: found {given}, accepted: {terms.id}, the license of {where}, or none"
        )
    return terms
