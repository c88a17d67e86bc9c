"""Views by the names that are typed at the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from inspect import isabstract

from layerviz_callbacks import views
from layerviz_callbacks.errors import did_you_mean


def kebab(name: str) -> str:
    """The name of a class as it is typed at the command line.

    Example:
        >>> kebab("FeatureMaps"), kebab("GradCAM"), kebab("Filters")
        ('feature-maps', 'grad-cam', 'filters')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def view_classes() -> dict[str, type[views.View]]:
    """Every view of `layerviz_callbacks.views` by its name."""
    members = {name: getattr(views, name) for name in views.__all__}
    return {
        kebab(name): member
        for name, member in sorted(members.items())
        if isinstance(member, type) and issubclass(member, views.View) and not isabstract(member)
    }


def view_name(given: str) -> str:
    """The whole name of a view; its beginning, or another part, is enough where only one has it.

    Raises:
        argparse.ArgumentTypeError: there is none, or there are several.

    Example:
        >>> view_name("film"), view_name("maps")
        ('film-strip', 'feature-maps')
    """
    known = view_classes()
    if given in known:
        return given
    part = given.lower().replace("_", "-")
    meant = [name for name in known if part and name.startswith(part)]
    meant = meant or [name for name in known if part and part in name]
    if len(meant) == 1:
        return meant[0]
    listed = ", ".join(meant or known)
    raise argparse.ArgumentTypeError(
        f"{given!r} is not a view. Allowed: {listed}.{'' if meant else did_you_mean(given, known)}"
    )


def views_of_one_step() -> list[views.View]:
    """What a callback draws, without what shows how it came to be."""
    return [view for view in views.default_views() if "history" not in view.needs]


def views_named(names: Sequence[str]) -> list[views.View]:
    """New views of these names, each once."""
    known = view_classes()
    return [known[name]() for name in dict.fromkeys(names)]
