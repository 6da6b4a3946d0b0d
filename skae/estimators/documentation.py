"""What the docstrings of all autoencoders share."""

SHARED_PARAMETERS = """
hidden_layer_sizes : int or sequence of int, default=(128, 64)
    Units of the encoder's hidden layers, from the input inwards; the decoder mirrors them. ``()`` for none.
activation : {"relu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
    Activation of the hidden layers. The code is linear.
network : network specification, callable or None, default=None
    Takes the place of ``hidden_layer_sizes`` and ``activation``: a specification such as
    `skae.networks.DenseNetwork`, or a callable ``(n_features, n_components) -> (encoder, decoder)`` of torch
    modules over batches of rows.
loss : {"squared_error", "absolute_error", "huber", "binary_cross_entropy"}, default="squared_error"
    Distance between a row and its reconstruction, mean over the features. With "binary_cross_entropy" X must lie
    in [0, 1], the network's output is taken for logits and the reconstruction is a probability. "huber" turns
    from squared to absolute at 1.
alpha : float, default=0.0
    Decoupled weight decay (AdamW, Loshchilov & Hutter 2019), over all parameters of the network.
batch_size : int or "auto", default="auto"
    Rows a step. "auto" makes about 64 steps an epoch: a power of two from 8 to 256.
learning_rate : {"cosine", "constant", "adaptive"}, default="cosine"
    Schedule of the step size. "cosine" falls from ``learning_rate_init`` to 0 over ``max_iter`` epochs;
    "adaptive" falls to a fifth each time the loss stalls for ``n_iter_no_change`` epochs, four times.
learning_rate_init : float, default=4e-3
    First step size of AdamW.
max_iter : int, default=100
    Epochs, at most.
early_stopping : bool, default=False
    Whether to hold out ``validation_fraction`` of the rows, stop when their loss stalls, and keep the weights
    of the epoch where it was lowest.
validation_fraction : float in (0, 1), default=0.1
    Share of the rows held out by ``early_stopping``.
n_iter_no_change : int, default=10
    Epochs without an improvement by ``tol`` after which the loss counts as stalled: the held-out loss with
    ``early_stopping``, else the training loss. A stall ends training with ``early_stopping``, lowers an "adaptive"
    ``learning_rate`` and ends training once it is at its lowest; otherwise all ``max_iter`` epochs are run.
tol : float, default=1e-4
    Smallest improvement that counts, relative to the lowest loss so far.
warm_start : bool, default=False
    Whether another `fit` continues from the weights of the last one.
device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"}, default="auto"
    Where to compute. "auto" is a GPU where there is one. A model fitted on a GPU is pickled as a CPU model, scores
    on a machine without a GPU, and moves back where ``device`` can be had.
precision : {"float32", "tf32", "bfloat16"}, default="float32"
    In what training multiplies matrices: weights, sums and everything after training are float32. "tf32" (NVIDIA GPUs
    since Ampere) and "bfloat16" (these GPUs and CPUs) are faster where networks are large, at three and two decimal
    digits. Where the device lacks them training is in float32, which the log says once.
random_state : int, RandomState instance or None, default=None
    Seed of weights, shuffling, hold-out and noise. The same int gives the same model to the bit on one CPU
    machine. NumPy's and torch's global generators are neither read nor changed, but by torch modules
    of your own, for which torch's is seeded during the fit and then put back.
verbose : bool, default=False
    Whether to print a line an epoch.
"""

SHARED_ATTRIBUTES = """
encoder_, decoder_ : torch.nn.Module
    The trained halves, over float32 batches (n_samples, n_features) and (n_samples, n_components).
n_iter_ : int
    Epochs run, over all `partial_fit` and ``warm_start`` calls.
loss_curve_ : list of float
    Training loss of each epoch.
validation_loss_curve_ : list of float or None
    Held-out loss of each epoch, NaN for epochs without ``early_stopping``; None if it was never used.
best_epoch_ : int
    Epoch of the last `fit` with the lowest monitored loss, counted from 1.
n_features_in_ : int
    Number of features seen during `fit`.
feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the features, where X has string column names.
"""
