import pytest

from layerviz_callbacks import Layer, SelectionError
from layerviz_callbacks.selection import check_selector, select


class Conv2D:
    pass


class Dense:
    pass


MODEL = [("conv1", Conv2D()), ("block/conv2", Conv2D()), ("pool", object()), ("head", Dense())]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("conv1", ["conv1"]),
        ("*conv*", ["conv1", "block/conv2"]),
        (["head", "conv1"], ["conv1", "head"]),
        (Conv2D, ["conv1", "block/conv2"]),
        ([Dense, "pool"], ["pool", "head"]),
        (lambda name, layer: name.startswith("p"), ["pool"]),
        ([["conv1"], ["head"]], ["conv1", "head"]),
    ],
)
def test_layers_are_chosen_in_the_models_order(selector, names):
    assert select(selector, MODEL) == names


def test_a_name_with_glob_characters_is_found_by_itself():
    assert select("a[0]", [("a[0]", None), ("a0", None)]) == ["a[0]"]


def test_a_layer_of_a_snapshot_is_chosen_by_its_class():
    assert select(Conv2D, [("c", Layer("c", "Conv2D", 1)), ("d", Layer("d", "Dense", 2))]) == ["c"]


def test_an_unknown_name_raises_with_the_nearest_one():
    with pytest.raises(SelectionError) as error:
        select(["conv9"], MODEL)
    assert str(error.value) == (
        "layers=['conv9'] matches no layer. This model has ['conv1', 'block/conv2', 'pool', 'head']. "
        "Did you mean 'conv1'?"
    )


def test_the_part_that_matches_nothing_is_named():
    with pytest.raises(SelectionError, match=r"layers=\['conv1', 'zz\*'\] \('zz\*'\) matches no layer"):
        select(["conv1", "zz*"], MODEL)
    with pytest.raises(SelectionError, match="layers=int matches no layer"):
        select(int, MODEL)


@pytest.mark.parametrize("selector", [3, [], [None], 1.5, [["conv1"], 3]])
def test_what_cannot_choose_layers_is_refused_at_once(selector):
    with pytest.raises(SelectionError, match="Allowed: a layer name"):
        check_selector(selector)
