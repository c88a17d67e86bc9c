"""Two networks over waveforms that the benchmarks read, each in Keras and in PyTorch.

A 1-D U-Net, and one built as seismologists build theirs (EQTransformer): 6000 samples of three components,
seven convolutions down, residual blocks, recurrent layers in both directions, additive self-attention, and
three decoders of seven convolutions for detection, P and S.
"""

FILTERS, WIDTHS = [8, 16, 16, 32, 32, 64, 64], [11, 9, 7, 7, 5, 5, 3]
LENGTHS = [6000, 3000, 1500, 750, 375, 188, 94]  # before each pooling
DECODERS = ["detection", "p", "s"]


def keras_unet_1d():
    """The U-Net in Keras, (1024, 3) -> (1024, 3)."""
    import keras
    from keras import layers

    answer = waves = keras.Input((1024, 3))
    kept = []
    for channels in (8, 16, 32):
        answer = layers.Conv1D(channels, 7, padding="same", activation="relu")(answer)
        kept.append(answer)
        answer = layers.MaxPooling1D(4)(answer)
    answer = layers.Conv1D(64, 7, padding="same", activation="relu")(answer)
    for skipped in reversed(kept):
        answer = layers.Conv1DTranspose(skipped.shape[-1], 4, strides=4)(answer)
        answer = layers.Concatenate()([answer, skipped])
        answer = layers.Conv1D(skipped.shape[-1], 7, padding="same", activation="relu")(answer)
    return keras.Model(waves, layers.Conv1D(3, 1, activation="softmax")(answer))


def keras_eqtransformer():
    """The EQTransformer-like network in Keras, (6000, 3) -> three of (6000, 1)."""
    import keras
    from keras import layers, ops

    class AdditiveAttention(layers.Layer):
        """softmax(v . tanh(W x_query + U x_key + b)), over all keys or `width` keys round the query."""

        def __init__(self, units=32, width=None, **options):
            super().__init__(**options)
            self.units, self.width = units, width

        def build(self, shape):
            self.query = self.add_weight(shape=(shape[-1], self.units), name="query")
            self.key = self.add_weight(shape=(shape[-1], self.units), name="key")
            self.score = self.add_weight(shape=(self.units, 1), name="score")
            self.offset = self.add_weight(shape=(self.units,), name="offset", initializer="zeros")

        def call(self, x):
            query, key = ops.matmul(x, self.query)[:, :, None], ops.matmul(x, self.key)[:, None]
            score = ops.matmul(ops.tanh(query + key + self.offset), self.score)[..., 0]
            if self.width:
                place = ops.arange(x.shape[1])
                far = ops.abs(place[:, None] - place[None]) > self.width // 2
                score = score - 1e4 * ops.cast(far, score.dtype)
            return ops.matmul(ops.softmax(score, axis=-1), x)

    answer = waves = keras.Input((6000, 3))
    for channels, width in zip(FILTERS, WIDTHS, strict=True):
        answer = layers.Conv1D(channels, width, padding="same", activation="relu")(answer)
        answer = layers.MaxPooling1D(2, padding="same")(answer)
    for _ in range(2):
        inner = layers.Activation("relu")(layers.BatchNormalization()(answer))
        inner = layers.Conv1D(64, 3, padding="same")(layers.SpatialDropout1D(0.1)(inner))
        answer = layers.Add()([answer, layers.Conv1D(64, 3, padding="same")(inner)])
    for _ in range(2):
        answer = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(answer)
        answer = layers.BatchNormalization()(layers.Conv1D(16, 1)(answer))
    answer = layers.LSTM(16, return_sequences=True)(answer)
    for _ in range(2):
        answer = layers.LayerNormalization()(layers.Add()([answer, AdditiveAttention()(answer)]))
        answer = layers.Add()([answer, layers.Dense(16)(layers.Dense(128, activation="relu")(answer))])
    outputs = []
    for name in DECODERS:
        one = answer
        if name != "detection":
            one = AdditiveAttention(width=3)(layers.LSTM(16, return_sequences=True)(one))
        for channels, width, length in zip(FILTERS[::-1], WIDTHS[::-1], LENGTHS[::-1], strict=True):
            one = layers.UpSampling1D(2)(one)
            one = layers.Cropping1D((0, one.shape[1] - length))(one)
            one = layers.Conv1D(channels, width, padding="same", activation="relu")(one)
        outputs.append(layers.Conv1D(1, 11, padding="same", activation="sigmoid", name=name)(one))
    return keras.Model(waves, outputs)


def torch_unet_1d():
    """The U-Net in PyTorch, (3, 1024) -> (3, 1024)."""
    import torch
    from torch import nn

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            pairs = [(3, 8), (8, 16), (16, 32)]
            self.down = nn.ModuleList(nn.Conv1d(*pair, 7, padding=3) for pair in pairs)
            self.bottom = nn.Conv1d(32, 64, 7, padding=3)
            ups = [(64, 32), (32, 16), (16, 8)]
            self.up = nn.ModuleList(nn.ConvTranspose1d(*pair, 4, stride=4) for pair in ups)
            self.join = nn.ModuleList(nn.Conv1d(2 * out, out, 7, padding=3) for _, out in ups)
            self.head = nn.Conv1d(8, 3, 1)

        def forward(self, answer):
            kept = []
            for layer in self.down:
                kept.append(layer(answer).relu_())
                answer = nn.functional.max_pool1d(kept[-1], 4)
            answer = self.bottom(answer).relu()
            for up, join in zip(self.up, self.join, strict=True):
                answer = join(torch.cat([up(answer), kept.pop()], 1)).relu()
            return self.head(answer).softmax(1)

    return UNet()


def torch_eqtransformer():
    """The EQTransformer-like network in PyTorch, (3, 6000) -> three of (1, 6000)."""
    import torch
    from torch import nn

    class AdditiveAttention(nn.Module):
        """As above; its matrices are parameters of its own, no layers."""

        def __init__(self, channels=16, units=32, width=None):
            super().__init__()
            self.query = nn.Parameter(torch.randn(channels, units) * 0.1)
            self.key = nn.Parameter(torch.randn(channels, units) * 0.1)
            self.score = nn.Parameter(torch.randn(units, 1) * 0.1)
            self.width = width

        def forward(self, x):  # (sample, time, channel)
            score = (torch.tanh((x @ self.query)[:, :, None] + (x @ self.key)[:, None]) @ self.score)[..., 0]
            if self.width:
                place = torch.arange(x.shape[1])
                score = score.masked_fill((place[:, None] - place).abs() > self.width // 2, -1e4)
            return score.softmax(-1) @ x

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(64)
            self.first, self.second = (nn.Conv1d(64, 64, 3, padding=1) for _ in range(2))

        def forward(self, x):
            return x + self.second(self.first(self.norm(x).relu_()))

    class Decoder(nn.Module):
        def __init__(self, recurrent):
            super().__init__()
            self.lstm = nn.LSTM(16, 16, batch_first=True) if recurrent else None
            self.attention = AdditiveAttention(width=3) if recurrent else None
            channels = [16, *FILTERS[::-1]]
            self.convolutions = nn.ModuleList(
                nn.Conv1d(channels[place], channels[place + 1], width, padding=width // 2)
                for place, width in enumerate(WIDTHS[::-1])
            )
            self.head = nn.Conv1d(8, 1, 11, padding=5)

        def forward(self, x):
            if self.lstm is not None:
                x = self.attention(self.lstm(x)[0])
            x = x.transpose(1, 2)
            for layer, length in zip(self.convolutions, LENGTHS[::-1], strict=True):
                x = layer(nn.functional.interpolate(x, scale_factor=2)[..., :length]).relu_()
            return self.head(x).sigmoid()

    class EQTransformer(nn.Module):
        def __init__(self):
            super().__init__()
            pairs = zip([3, *FILTERS], FILTERS, WIDTHS, strict=False)
            self.encoder = nn.ModuleList(
                nn.Conv1d(inputs, outputs, width, padding=width // 2) for inputs, outputs, width in pairs
            )
            self.residual = nn.Sequential(Residual(), Residual())
            self.both_ways = nn.ModuleList(
                nn.LSTM(channels, 16, batch_first=True, bidirectional=True) for channels in (64, 16)
            )
            self.narrow = nn.ModuleList(nn.Conv1d(32, 16, 1) for _ in range(2))
            self.lstm = nn.LSTM(16, 16, batch_first=True)
            self.attention = nn.ModuleList(AdditiveAttention() for _ in range(2))
            self.norm = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
            self.forward_parts = nn.ModuleList(
                nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 16)) for _ in range(2)
            )
            self.decoders = nn.ModuleDict({name: Decoder(name != "detection") for name in DECODERS})

        def forward(self, x):
            for layer in self.encoder:
                x = nn.functional.max_pool1d(layer(x).relu_(), 2, ceil_mode=True)
            x = self.residual(x)
            for lstm, narrow in zip(self.both_ways, self.narrow, strict=True):
                x = narrow(lstm(x.transpose(1, 2))[0].transpose(1, 2))
            x = self.lstm(x.transpose(1, 2))[0]
            for attention, norm, part in zip(self.attention, self.norm, self.forward_parts, strict=True):
                x = norm(x + attention(x))
                x = x + part(x)
            return tuple(decoder(x) for decoder in self.decoders.values())

    return EQTransformer()
