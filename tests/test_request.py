"""What several views ask for at once is read once, and is enough for each of them."""

from layerviz_callbacks.cut import KernelCut, OutputCut
from layerviz_callbacks.explaining import PatternRecipe, SaliencyRecipe, Target
from layerviz_callbacks.request import Request


def test_nothing_asked_for_does_not_run_the_model():
    assert not Request().runs_model
    assert not Request(weights=frozenset({"conv1"})).runs_model
    assert not Request(patterns={"conv1": PatternRecipe((0,))}).runs_model  # that is done after the reading


def test_whatever_the_model_has_to_answer_for_runs_it():
    assert Request(outputs=frozenset({"conv1"})).runs_model
    assert Request(attention=frozenset({"block"})).runs_model
    assert Request(gradients={Target(): frozenset({"conv1"})}).runs_model
    assert Request(saliency=frozenset({SaliencyRecipe()})).runs_model


def test_two_requests_together_hold_what_both_need():
    one = Request(
        outputs=frozenset({"conv1"}),
        output_cuts={"conv1": OutputCut(samples=2)},
        kernel_cuts={"conv1": KernelCut(channels=(0,))},
        gradients={Target(): frozenset({"conv1"})},
        gradient_samples=2,
    )
    other = Request(
        outputs=frozenset({"conv2"}),
        output_cuts={"conv1": OutputCut(samples=4), "conv2": OutputCut(samples=1)},
        gradients={Target(): frozenset({"conv2"}), Target(3): frozenset({"conv2"})},
        gradient_samples=3,
        model_outputs=True,
    )
    both = one | other
    assert both.outputs == {"conv1", "conv2"}
    assert both.output_cuts == {"conv1": OutputCut(samples=4), "conv2": OutputCut(samples=1)}
    assert both.kernel_cuts == {"conv1": KernelCut(channels=(0,))}
    assert both.gradients == {Target(): {"conv1", "conv2"}, Target(3): {"conv2"}}
    assert both.gradient_samples == 3
    assert both.model_outputs


def test_the_greater_number_of_samples_wins_and_all_wins_over_any():
    few = Request(attention=frozenset({"block"}), attention_samples=2)
    many = Request(attention=frozenset({"block"}), attention_samples=5)
    everything = Request(attention=frozenset({"block"}))
    assert (few | many).attention_samples == 5
    assert (few | everything).attention_samples is None
    assert (Request() | few).attention_samples == 2, "who asks for nothing has no say"


def test_each_target_is_named_once():
    request = Request(
        gradients={Target(): frozenset({"conv1"})},
        saliency=frozenset({SaliencyRecipe(), SaliencyRecipe(target=Target(3))}),
    )
    assert sorted(map(str, request.targets)) == ["class 3", "predicted class"]
