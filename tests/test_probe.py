import numpy as np
import pytest

from layerviz_callbacks import Probe, ProbeError


def test_an_array_is_a_probe_with_numbered_samples():
    probe = Probe(np.zeros((2, 5, 3)))
    assert len(probe) == 2
    assert probe.names == ("sample 1", "sample 2")
    assert list(probe.arrays) == ["input"]


def test_lists_tuples_and_dicts_are_several_inputs():
    image, age = np.zeros((3, 8, 8)), np.ones((3, 1))
    assert list(Probe([image, age]).arrays) == ["input 1", "input 2"]
    assert list(Probe((image, age)).arrays) == ["input 1", "input 2"]
    assert list(Probe({"image": image, "age": age}).arrays) == ["image", "age"]


def test_plain_nested_numbers_are_one_input():
    assert Probe([[1.0, 2.0], [3.0, 4.0]]).arrays["input"].shape == (2, 2)


def test_the_arrays_are_copies():
    batch = np.zeros((2, 4))
    probe = Probe(batch)
    batch[:] = 7
    assert probe.arrays["input"].max() == 0


def test_a_torch_tensor_is_a_probe():
    torch = pytest.importorskip("torch")
    batch = torch.zeros(2, 3, dtype=torch.bfloat16, requires_grad=True)
    assert Probe(batch).arrays["input"].dtype == np.float32


def test_a_probe_of_a_probe_is_itself():
    probe = Probe(np.zeros((2, 4)))
    assert Probe.of(probe) is probe


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (np.zeros((0, 8, 8)), "is empty: shape (0, 8, 8)"),
        ([], "needed"),
        ({}, "is empty"),
        (np.zeros(8), "x_val[:1]"),
        (np.array(["a", "b"])[:, None], "Allowed: numbers"),
        ([np.zeros((2, 3)), np.zeros((4, 3))], "do not agree"),
        (np.array([[1.0, np.nan], [np.nan, 2.0]]), "2 NaN"),
    ],
)
def test_an_unusable_probe_raises_at_once_and_says_what_to_type(batch, words):
    with pytest.raises(ProbeError) as error:
        Probe(batch)
    assert words in str(error.value)


def test_names_and_targets_must_fit_the_samples():
    with pytest.raises(ProbeError, match="list of 2 names"):
        Probe(np.zeros((2, 3)), names=["one"])
    with pytest.raises(ProbeError, match="list of 2 names"):
        Probe(np.zeros((2, 3)), names="ab")
    with pytest.raises(ProbeError, match="targets of shape"):
        Probe(np.zeros((2, 3)), targets=[1, 2, 3])


def test_display_shows_the_input_as_it_looked_before_normalisation():
    normalised = np.full((2, 4), -1.0)
    assert Probe(normalised).shown() is None
    shown = Probe(normalised, display=lambda batch: batch * 0.5 + 0.5).shown()
    assert np.array_equal(shown["input"], np.zeros((2, 4)))
    photos = np.full((2, 4), 9, np.uint8)
    assert np.array_equal(Probe(normalised, display=photos).shown()["input"], photos)


def test_a_display_that_fails_is_named():
    def broken(batch):
        raise KeyError("mean")

    with pytest.raises(ProbeError, match=r"display= failed on the input 'input'.*KeyError"):
        Probe(np.zeros((2, 4)), display=broken).shown()
    with pytest.raises(ProbeError, match="display of shape"):
        Probe(np.zeros((2, 4)), display=np.zeros((5, 4)))
