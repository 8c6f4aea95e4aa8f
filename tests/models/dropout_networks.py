"""A pair of networks that draw while they train: ``networks="tests.models.dropout_networks"``."""

from reproducible_ml.models.gan import NETWORKS, Networks


def _matrix(rows, columns, seed):
    import tensorflow as tf

    from reproducible_ml.models.exact import GlorotUniform, seeded_variables

    with seeded_variables():
        return tf.compat.v1.get_variable("dense", [rows, columns], initializer=GlorotUniform(seed))


def dropping_generator(row, image_shape, seed, classes):
    del row, classes
    height, width, channels = image_shape

    def generator(noise, mode):
        import tensorflow as tf

        matrix = _matrix(int(noise.shape[-1]), height * width * channels, seed)
        if mode == tf.estimator.ModeKeys.TRAIN:
            noise = tf.nn.dropout(noise, 0.5)
        return tf.reshape(tf.tanh(noise @ matrix), [-1, height, width, channels])

    return generator


def noisy_critic(row, image_shape, seed, classes):
    del row, classes
    height, width, channels = image_shape

    def critic(images, conditioning=None):
        import tensorflow as tf

        del conditioning
        flat = tf.reshape(images, [-1, height * width * channels])
        flat = tf.nn.dropout(flat + tf.random.normal(tf.shape(flat)), 0.25)
        return tf.reshape(flat @ _matrix(height * width * channels, 1, seed), [-1])

    return critic


NETWORKS[__name__] = Networks(dropping_generator, noisy_critic)
