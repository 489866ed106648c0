"""Networks that read tokens: sizes and costs, what a prediction depends on, and cuts of recurrent layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgesim.errors import InputError, RunFailed
from edgesim.models._slicing import small_network
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models.lstm import Lstm
from edgesim.models.transformer import Transformer
from edgesim.submodels._prefix import prefix_cut
from tests.contract._zoo import held, index_cut

LENGTH, TOKENS = 6, 7
TINY = Transformer(embedding=8, heads=2, feed_forward=12, layers=1, dropout=0.0, positions=9)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def tokens(count: int = 4, seed: int = 0) -> Tensor:
    return torch.randint(TOKENS, (count, LENGTH), generator=torch.Generator().manual_seed(seed))


# -------------------------------------------------------------------------------------- sizes and costs


def transformer_size(vocabulary: int, width: int, hidden: int, layers: int, positions: int) -> int:
    embedding = (vocabulary + positions) * width + 2 * width
    attention = 4 * (width * width + width)
    feed_forward = 2 * width * hidden + hidden + width
    decoder = width * width + width + 2 * width + vocabulary * (width + 1)
    return embedding + layers * (attention + feed_forward + 4 * width) + decoder


def test_the_transformer_of_fedgmr_has_half_the_bytes_that_its_release_charges() -> None:
    network = Transformer().build((127,), 10_000)
    assert parameters(network) == transformer_size(10_000, 96, 384, 3, 128) == 193 * 10_000 + 357_504
    mebibytes = 4 * parameters(network) / 2**20
    assert mebibytes == pytest.approx(8.73, abs=0.005)
    assert 17.26 / mebibytes == pytest.approx(2, abs=0.03)


def test_the_transformer_of_fedrolex_has_the_size_of_its_parts() -> None:
    network = Transformer(embedding=128, heads=8, feed_forward=2048).build((64,), 100)
    assert parameters(network) == transformer_size(100, 128, 2048, 3, 128)


def test_the_lstm_has_leafs_size_and_a_second_bias() -> None:
    gates = 4 * 256
    leaf = 80 * 8 + gates * (8 + 256 + 1) + gates * (256 + 256 + 1) + 80 * 257
    assert leaf == 817_872
    assert parameters(Lstm().build((80,), 80)) == leaf + 2 * gates == 819_920


def test_a_transformers_layers_and_operations_are_those_counted_by_hand() -> None:
    structure = read_structure(TINY.build((LENGTH,), TOKENS), (LENGTH,), TOKENS)
    macs = {layer.name: layer.macs // LENGTH for layer in structure.layers}
    assert macs == {
        "tokens": 0,
        "positions": 0,
        "encoder.0.self_attn": 3 * 8 * 8,
        "encoder.0.self_attn.out_proj": 8 * 8,
        "encoder.0.linear1": 8 * 12,
        "encoder.0.linear2": 12 * 8,
        "hidden": 8 * 8,
        "output": 8 * TOKENS,
    }
    assert [product.macs for product in structure.products] == [LENGTH * LENGTH * 8] * 2
    assert structure.output_shape == (LENGTH, TOKENS)


def test_an_lstm_costs_four_gates_of_its_input_and_its_state_at_every_step() -> None:
    structure = read_structure(Lstm(embedding=3, hidden=5).build((LENGTH,), TOKENS), (LENGTH,), TOKENS)
    assert [(layer.name, layer.kind) for layer in structure.layers] == [
        ("tokens", "embedding"),
        ("lstm1", "linear"),
        ("lstm2", "linear"),
        ("output", "linear"),
    ]
    layers = LENGTH * 4 * 5 * (3 + 5), LENGTH * 4 * 5 * (5 + 5)
    assert structure.forward_macs == sum(layers) + 5 * TOKENS
    assert structure.layers[1].parameters == 4 * 5 * (3 + 5 + 2)


# ------------------------------------------------------------------------- what a prediction depends on


@pytest.mark.parametrize("model", [Transformer(), Lstm(predict="all")], ids=["transformer", "lstm"])
@pytest.mark.parametrize("position", [0, 3, LENGTH - 1])
def test_a_position_depends_on_the_tokens_up_to_there_and_on_no_later_one(model, position: int) -> None:
    network = model.build((LENGTH,), TOKENS).eval()
    x = tokens()
    changed = x.clone()
    changed[:, position] = (x[:, position] + 1) % TOKENS
    with torch.no_grad():
        difference = (network(x) - network(changed)).abs().amax((0, 2))
    assert (difference[:position] == 0).all()
    assert (difference[position:] > 1e-4).all()


@pytest.mark.parametrize("kind", [Transformer, Lstm])
def test_the_prediction_for_a_sample_is_that_of_its_last_position(kind) -> None:
    everywhere, last = (kind(predict=predict).build((LENGTH,), TOKENS).eval() for predict in ("all", "last"))
    last.load_state_dict(everywhere.state_dict())
    with torch.no_grad():
        assert torch.allclose(last(tokens()), everywhere(tokens())[:, -1], atol=1e-6)


# --------------------------------------------------------------------------------------- what is refused


def test_images_and_samples_longer_than_the_table_are_refused() -> None:
    for model in (Transformer(), Lstm()):
        with pytest.raises(InputError, match=r"needs sequences of tokens \[length\], got .* \(1, 8, 8\)"):
            model.build((1, 8, 8), 10)
    with pytest.raises(InputError, match="is 9, but samples have 10 tokens; use positions: 10"):
        TINY.build((10,), TOKENS)
    with pytest.raises(ValueError, match="must be a multiple of heads, got 10 and 4"):
        Transformer(embedding=10)


def test_numbers_for_tokens_are_an_error_that_names_them() -> None:
    with pytest.raises(RunFailed, match=r"does not run on an input of shape \(6,\)"):
        read_structure(TINY.build((LENGTH,), TOKENS), (LENGTH,))
    with pytest.raises(RunFailed, match=r"does not run on tokens of shape \(6,\)"):
        read_structure(nn.Linear(LENGTH, 2), (LENGTH,), TOKENS)


# --------------------------------------------------------------------------------------- recurrent units


class Recurrent(nn.Module):
    """An embedding, any recurrence and a linear layer that reads its last output."""

    def __init__(self, recurrence: nn.RNNBase) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, recurrence.input_size)
        self.recurrence = recurrence
        self.output = nn.Linear(recurrence.hidden_size * (1 + recurrence.bidirectional), TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.recurrence(self.tokens(x))[0][:, -1])  # type: ignore[no-any-return]


class Translator(nn.Module):
    """The last state of one recurrence is the first of another."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, 4)
        self.reader, self.writer = (nn.GRU(4, 6, batch_first=True) for _ in range(2))
        self.output = nn.Linear(6, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        return self.output(self.writer(x, self.reader(x)[1])[0][:, -1])  # type: ignore[no-any-return]


def read(network: nn.Module) -> ModelStructure:
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    return read_structure(network, (LENGTH,), TOKENS)


RECURRENT = {
    "lstm": lambda: Recurrent(nn.LSTM(4, 6, batch_first=True)),
    "two layers": lambda: Recurrent(nn.LSTM(4, 6, num_layers=2, batch_first=True)),
    "both ways": lambda: Recurrent(nn.LSTM(4, 6, batch_first=True, bidirectional=True)),
    "gru": lambda: Recurrent(nn.GRU(4, 6, batch_first=True)),
    "rnn": lambda: Recurrent(nn.RNN(4, 6, batch_first=True, bias=False)),
    "translator": Translator,
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrence_with_fewer_units_computes_what_the_whole_does_with_the_others_at_zero(
    name: str,
) -> None:
    structure = read(RECURRENT[name]())
    for cut in (prefix_cut(structure.units, 0.5), index_cut(structure.units, 0.7)):
        small = small_network(structure.network, structure.units, cut.kept, cut.rates).eval()
        masked = RECURRENT[name]().eval()
        masked.load_state_dict(
            {
                key: tensor * held(structure.units, cut, key, tuple(tensor.shape))
                for key, tensor in structure.network.state_dict().items()
            }
        )
        with torch.no_grad():
            torch.testing.assert_close(small(tokens()), masked(tokens()))
        assert read_structure(small, (LENGTH,), TOKENS).forward_macs < structure.forward_macs


def test_a_unit_of_an_lstm_is_a_row_of_every_gate_and_a_column_of_what_reads_it() -> None:
    layout = read(RECURRENT["two layers"]()).units
    assert [group.size for group in layout.groups] == [4, 6, 6]
    embedding, first, second = (
        np.arange(group.size) + offset for group, offset in zip(layout.groups, layout.offsets, strict=True)
    )
    for layer, inputs, units in (("l0", embedding, first), ("l1", first, second)):
        for name, columns in ((f"weight_ih_{layer}", inputs), (f"weight_hh_{layer}", units)):
            rows, found = layout.places[f"recurrence.{name}"]
            assert np.array_equal(rows, np.tile(units, 4))
            assert np.array_equal(found, columns)
        assert np.array_equal(layout.places[f"recurrence.bias_hh_{layer}"][0], np.tile(units, 4))
    assert np.array_equal(layout.places["output.weight"][1], second)


def test_what_a_recurrence_gives_is_scaled_once_in_training() -> None:
    structure = read(RECURRENT["two layers"]())
    cut = prefix_cut(structure.units, 0.5)
    plain, scaled = (
        small_network(structure.network, structure.units, cut.kept, cut.rates, scaler=scaler).train()
        for scaler in (False, True)
    )
    x = plain.tokens(tokens())
    torch.testing.assert_close(scaled.recurrence(x)[0], 2 * plain.recurrence(x)[0])
    torch.testing.assert_close(scaled.eval().recurrence(x)[0], plain.recurrence(x)[0])


def test_units_of_a_projected_lstm_are_an_error_that_names_it() -> None:
    network = Recurrent(nn.LSTM(4, 6, batch_first=True))
    network.recurrence = nn.LSTM(4, 8, proj_size=6, batch_first=True)
    with pytest.raises(RunFailed, match=r"module recurrence \(LSTM\) has projections"):
        read(network).units  # noqa: B018
