"""Callbacks, metrics, class weights and networks of one's own, as with Keras's own `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from killed import run_script
from small_models import small_data, small_model

from utils.model_training_testing import custom_f1_score, predict, train_and_evaluate_models
from utils.training.twins import training_twin

layers = keras.layers
IMAGES = np.random.default_rng(0).random((20, 6, 6, 3), np.float32)
LABELS = (np.arange(20) % 3).astype(np.int32)


def data(labels=LABELS):
    return tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(5)


def twinned(name="twinned"):
    """A model that is trained by a twin."""
    keras.utils.set_random_seed(0)
    inner = [layers.Conv2D(4, 3, activation="gelu"), layers.BatchNormalization(), layers.Flatten()]
    last = layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((6, 6, 3)), *inner, last], name=name)
    assert training_twin(model) is not model
    return model


def train(model, epochs=3, rate=0.05, **options):
    _, history = train_and_evaluate_models(
        [model], data(), data(), epochs, None, True, rate, **{"verbose": 0} | options
    )
    return history.history


# ---- callbacks


def test_early_stopping_goes_back_to_the_best_weights(tmp_path):
    kept, model = [], twinned()
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(model.get_weights())
    )
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=2, mode="max", restore_best_weights=True
    )  # it falls: the first epoch stays the best
    options = {"callbacks": [keep, stop], "checkpoint_directory": tmp_path}
    assert len(train(model, 9, **options)["loss"]) == 3
    for weight, expected, last in zip(model.get_weights(), kept[0], kept[-1], strict=True):
        np.testing.assert_array_equal(weight, expected)
        assert (weight != last).any()
    # Started again it is finished, with the same weights; or goes on where more are asked for.
    again = twinned()
    assert len(train(again, 9, **options)["loss"]) == 3
    for weight, expected in zip(again.get_weights(), kept[0], strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert len(train(twinned(), 10, checkpoint_directory=tmp_path)["loss"]) == 10


def test_the_score_is_of_the_weights_that_a_callback_went_back_to():
    stop = keras.callbacks.EarlyStopping("val_loss", mode="max", restore_best_weights=True)
    model = twinned()
    options = {"callbacks": [stop], "verbose": 0}
    scores = train_and_evaluate_models([model], data(), data(), 9, None, False, 0.2, **options)
    assert scores == {"twinned": pytest.approx(predict(model, data())[0])}


def test_a_learning_rate_scheduler_sets_the_rate_of_the_training():
    rates = [0.1, 1e-9]
    model, seen = twinned(), []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[-2])
    )
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rates[epoch])
    history = train(model, 2, mome=0.0, callbacks=[schedule, note])
    assert history["learning_rate"] == pytest.approx(rates)
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-6)
    assert np.abs(seen[0] - twinned().get_weights()[-2]).max() > 1e-3


def test_model_checkpoint_writes_files_of_plain_keras(tmp_path):
    model = twinned()
    paths = str(tmp_path / "{epoch}.keras")
    train(model, 2, callbacks=[keras.callbacks.ModelCheckpoint(paths)])
    loaded = keras.models.load_model(tmp_path / "2.keras")
    for weight, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    kinds = {type(one).__module__ for one in [*loaded.layers, loaded.optimizer]}
    assert {kind.partition(".")[0] for kind in kinds} == {"keras"}
    first = keras.models.load_model(tmp_path / "1.keras").get_weights()
    assert (first[0] != model.get_weights()[0]).any()


def test_tensorboard_gets_the_curves(tmp_path):
    pytest.importorskip("tensorboard")
    train(twinned(), 2, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    for part in ("train", "validation"):
        (events,) = (tmp_path / part).glob("events.*")
        assert b"epoch_loss" in events.read_bytes()


def test_metrics_and_class_weights_are_those_of_keras():
    reference, model = twinned(), twinned()
    weights, metrics = {0: 3.0, 1: 1.0, 2: 0.5}, [custom_f1_score]
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    reference.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy", *metrics])
    options = {"class_weight": weights, "verbose": 0, "shuffle": False}
    expected = reference.fit(data(), epochs=2, validation_data=data(), **options)
    found = train(model, 2, class_weight=weights, metrics=metrics)
    assert found.keys() == expected.history.keys() | {"seconds"}
    for name, values in expected.history.items():
        assert found[name] == pytest.approx(values, rel=1e-3), name


def as_rows(labels=LABELS):
    return keras.utils.to_categorical(labels, 3)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        part = slice(5 * number, 5 * number + 5)
        return IMAGES[part], as_rows()[part]


@pytest.mark.parametrize(
    ("ours", "held_out"),
    [
        (lambda: data(as_rows()), lambda: data(as_rows())),
        (lambda: Batches(workers=1), lambda: (IMAGES, LABELS[:, None])),
        (data, lambda: data(as_rows()).unbatch()),
    ],
    ids=["rows", "rows and a column", "indices and rows"],
)
@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_one_hot_labels_are_learnt_as_by_keras(ours, held_out, smoothing):
    reference, model = twinned(), twinned()
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    reference.compile(optimizer, loss, metrics=["accuracy", "top_k_categorical_accuracy"])
    options = {"verbose": 0, "shuffle": False, "class_weight": {0: 3.0, 1: 1.0, 2: 1.0}}
    both = {"validation_data": data(as_rows())}
    expected = reference.fit(data(as_rows()), epochs=2, **both, **options)
    settings = {"label_smoothing": smoothing, "class_weight": {0: 3.0}, "verbose": 0}
    settings["metrics"] = ["accuracy", "top_k_categorical_accuracy"]
    _, history = train_and_evaluate_models(
        model, ours(), held_out(), 2, None, True, 0.05, **settings
    )
    assert history.history.keys() == expected.history.keys() | {"seconds"}
    for name, values in expected.history.items():
        assert history.history[name] == pytest.approx(values, rel=1e-3), name
    assert model.evaluate(data(as_rows()), verbose=0)[1] == pytest.approx(
        history.history["val_accuracy"][-1]
    )


def test_a_teacher_answers_in_the_place_of_one_hot_labels():
    keras.utils.set_random_seed(1)
    teacher, losses = twinned("teacher"), []
    for labels in (LABELS, as_rows()):
        model = twinned()
        options = {"teacher": teacher, "verbose": 0}
        both = data(labels), data(labels)
        _, history = train_and_evaluate_models([model], *both, 1, None, True, **options)
        losses.append(history.history["val_loss"])
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize("weights", [[1, 2, 3], {3: 1.0}])
def test_what_are_no_weights_of_classes_is_refused(weights):
    with pytest.raises(ValueError, match=r"class_weight is .*expected a dict of class indices, 0 "):
        train(twinned(), class_weight=weights)


def test_one_callback_needs_no_list():
    epochs = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    train(twinned(), 2, callbacks=note)
    assert epochs == [0, 1]


# ---- what is left


def test_a_model_is_left_as_the_caller_compiled_it():
    model = twinned()
    optimizer = keras.optimizers.Adam(0.003)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    before = model.get_weights()
    train(model, 1, kernel_rate=0.1)
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 0
    assert isinstance(model.evaluate(data(), verbose=0), float)  # no accuracy was asked for
    assert (model.get_weights()[0] != before[0]).any()
    model.fit(data(), shuffle=False, verbose=0)
    assert int(optimizer.iterations) == 4


@pytest.mark.parametrize("options", [{}, {"kernel_rate": 0.1}, {"label_smoothing": 0.1}])
def test_a_model_that_was_not_compiled_can_be_evaluated_and_loaded(tmp_path, options):
    model = twinned()
    history = train(model, 1, **options)
    _, accuracy = model.evaluate(data(), verbose=0)
    assert accuracy == pytest.approx(history["val_accuracy"][-1])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(data(), verbose=0)[1] == pytest.approx(accuracy)
    model.fit(data(), shuffle=False, verbose=0)


def test_dropout_with_a_seed_goes_on_with_other_masks():
    def model():
        keras.utils.set_random_seed(0)
        inner = [layers.BatchNormalization(), layers.Dropout(0.5, seed=1), layers.Flatten()]
        last = layers.Dense(3, activation="softmax")
        return keras.Sequential([keras.Input((6, 6, 3)), *inner, last])

    reference, ours = model(), model()
    for _ in range(2):  # the second call goes on where the first one stopped
        reference.compile("sgd", "sparse_categorical_crossentropy")
        reference.optimizer.learning_rate = 0.05
        reference.fit(data(), shuffle=False, verbose=0)
        train(ours, 1, mome=0.0)
    for weight, expected in zip(ours.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-5)


# ---- networks of one's own


class Scaled(layers.Layer):
    """A layer that is registered nowhere."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.convolution = layers.Conv2D(4, 3)
        self.normalisation = layers.BatchNormalization()
        self.last = layers.Dense(3, activation="softmax")

    def call(self, inputs, training=None):
        x = self.normalisation(self.convolution(inputs), training=training)
        return self.last(keras.ops.mean(keras.ops.relu(x), axis=(1, 2)))


def with_layer(layer):
    inner = [layers.Conv2D(4, 3), layers.BatchNormalization(), layer, layers.Flatten()]
    return keras.Sequential(
        [keras.Input((6, 6, 3)), *inner, layers.Dense(3, activation="softmax")], name="own"
    )


def with_operators():
    inputs = keras.Input((6, 6, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inputs))
    x = keras.ops.relu(x + layers.Conv2D(4, 1)(inputs)) * 0.5
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs, name="operators")


OWN = {
    "subclassed": Subclassed,
    "unregistered layer": lambda: with_layer(Scaled()),
    "Lambda": lambda: with_layer(layers.Lambda(lambda x: x * 2)),
    "operators": with_operators,
}


@pytest.mark.parametrize("kind", OWN)
def test_any_network_is_trained_as_by_keras(kind, capsys):
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        models.append(OWN[kind]())
        models[-1](IMAGES)
    reference, model = models
    reference.set_weights(model.get_weights())
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    reference.compile(optimizer, "sparse_categorical_crossentropy")
    reference.fit(data(), epochs=2, shuffle=False, verbose=0)
    train(model, 2, verbose=2)
    for weight, expected in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-5)
    said = capsys.readouterr().out.count("trained as it is, which is slower")
    assert said == (kind != "operators")


@pytest.mark.parametrize("kind", OWN)
def test_any_network_goes_on_from_its_checkpoint(kind, tmp_path, capsys):
    def model():
        keras.utils.set_random_seed(0)
        return OWN[kind]()

    options = {"checkpoint_directory": tmp_path, "verbose": 2}
    train(model(), 1, **options)
    assert len(list((tmp_path / "best").iterdir())) == 1
    capsys.readouterr()
    assert len(train(model(), 2, **options)["loss"]) == 2
    assert "goes on after epoch 1 of 2" in capsys.readouterr().out
    assert len(train(model(), 2, **options)["loss"]) == 2
    assert "already finished after epoch 2" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a checkpoint of 2 epochs, more than the 1 asked for"):
        train(model(), 1, **options)


# ---- what a checkpoint belongs to


class OwnStep(Subclassed):
    def train_step(self, data):
        raise NotImplementedError


def test_a_train_step_of_its_own_is_refused():
    with pytest.raises(ValueError, match="has a train_step of its own, which is not called here"):
        train(OwnStep())


def other_labels():
    return data(LABELS[::-1].copy())


def shifted():
    return data().map(lambda images, labels: (tf.roll(images, 1, axis=2), labels))


@pytest.mark.parametrize("other", [other_labels, shifted, lambda: data().shuffle(4, seed=5)])
@pytest.mark.parametrize("which", [0, 1], ids=["train", "validation"])
def test_a_checkpoint_of_other_data_is_refused(tmp_path, other, which):
    options = {"checkpoint_directory": tmp_path, "verbose": 0}
    train_and_evaluate_models([twinned()], data(), data(), 1, None, True, **options)
    both = [data(), data()]
    both[which] = other()
    with pytest.raises(ValueError, match=r"twinned\.npz: a checkpoint of other data; delete it"):
        train_and_evaluate_models([twinned()], *both, 1, None, True, **options)


def test_a_checkpoint_of_other_weights_at_the_start_is_refused(tmp_path):
    train(twinned(), 1, checkpoint_directory=tmp_path)
    model = twinned()
    model.layers[-1].bias.assign([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="a checkpoint of other starting weights; delete it"):
        train(model, 1, checkpoint_directory=tmp_path)


def test_a_checkpoint_of_a_teacher_with_other_weights_is_refused(tmp_path):
    keras.utils.set_random_seed(0)
    options = {"checkpoint_directory": tmp_path, "verbose": 0}
    teacher, pictures = small_model("teacher"), small_data()
    for change in (0, 1):
        keras.utils.set_random_seed(1)
        both = [small_model("student")], pictures, pictures
        teacher.set_weights([weight + change for weight in teacher.get_weights()])
        if change:
            with pytest.raises(ValueError, match="a checkpoint of other teacher; delete it"):
                train_and_evaluate_models(*both, 1, None, True, teacher=teacher, **options)
        else:
            train_and_evaluate_models(*both, 1, None, True, teacher=teacher, **options)


def test_the_same_model_and_shuffled_data_go_on_in_one_process(tmp_path):
    model, shuffled = twinned(), data().shuffle(4)
    for epochs in (1, 2, 2):  # as in a notebook whose cell is run again
        options = {"checkpoint_directory": tmp_path, "verbose": 0}
        _, history = train_and_evaluate_models(
            [model], shuffled, data(), epochs, None, True, 0.05, **options
        )
        assert len(history.history["loss"]) == epochs


# ---- a teacher on another device than the data


TWO_DEVICES = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from small_models import small_data, small_model
from utils.model_training_testing import train_and_evaluate_models
with tf.device("CPU:1"):
    teacher = small_model("teacher")
assert teacher.weights[0].value.device.endswith("CPU:1")
options = {"teacher": teacher, "verbose": 0}
train_and_evaluate_models([small_model()], small_data(), small_data(), 1, None, True, **options)
print("trained")
"""


def test_a_teacher_may_be_on_another_device():
    assert run_script(TWO_DEVICES) == "trained\n"
