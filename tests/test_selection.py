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


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("kind:convolution", ["conv1", "block/conv2"]),
        ("kind:Conv*", ["conv1", "block/conv2"]),
        (["kind:dense", "pool"], ["pool", "head"]),
        ([["kind:Dense"]], ["head"]),
    ],
)
def test_layers_are_chosen_by_their_kind(selector, names):
    assert select(selector, MODEL) == names


def test_a_layer_that_is_really_called_so_goes_before_a_kind():
    assert select("kind:dense", [("kind:dense", None), ("head", Dense())]) == ["kind:dense"]


def test_a_subclass_is_of_the_kind_of_its_base():
    class Stem(Conv2D):
        pass

    assert select("kind:convolution", [("stem", Stem()), ("head", Dense())]) == ["stem"]


def test_a_layer_of_a_snapshot_is_chosen_by_its_kind_and_a_block_is_only_a_block():
    layers = [("block", Layer("block", "ConvBlock", 1, container=True)), ("conv", Layer("conv", "Conv2D", 2))]
    assert select("kind:convolution", layers) == ["conv"]
    assert select("kind:block", layers) == ["block"]


def test_an_unknown_kind_raises_with_the_kinds_that_there_are():
    with pytest.raises(SelectionError) as error:
        select("kind:pooling", MODEL)
    assert str(error.value).endswith("Its kinds are ['kind:convolution', 'kind:dense'].")
    with pytest.raises(SelectionError, match="Did you mean 'kind:Conv2D'"):
        select("kind:conv2d", MODEL)


def test_a_kind_without_its_word_is_told_how_to_type_it():
    with pytest.raises(SelectionError, match="'Dense' is a kind of layer: type 'kind:Dense'"):
        select("Dense", MODEL)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Conv2D", "convolution"), ("ConvTranspose1d", "convolution"), ("SeparableConv2D", "convolution"),
        ("ConvLSTM2D", "recurrent"), ("LSTM", "recurrent"), ("Bidirectional", "recurrent"),
        ("Linear", "dense"), ("EinsumDense", "dense"), ("NonDynamicallyQuantizableLinear", "dense"),
        ("MultiheadAttention", "attention"), ("MultiHeadAttention", "attention"),
        ("MaxPooling2D", "pooling"), ("AdaptiveAvgPool2d", "pooling"), ("BatchNorm2d", "normalization"),
        ("LayerNormalization", "normalization"), ("ReLU", "activation"), ("Softmax", "activation"),
        ("UpSampling2D", "resampling"), ("UpsamplingBilinear2d", "resampling"),
        ("SpatialDropout1D", "dropout"), ("Embedding", "embedding"), ("Parameter", "parameter"),
    ],
)  # fmt: skip
def test_every_usual_class_has_its_kind(name, kind):
    assert select(f"kind:{kind}", [("it", Layer("it", name, 1))]) == ["it"]
