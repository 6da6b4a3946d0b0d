"""Plain gradient descent in the place of the package's optimizer, so that a test can take the same step itself."""

from skae.training.steps import autograd_step


class GradientDescent:
    def __init__(self, params, lr):
        self.params, self.lr = list(params), lr

    def zero_grad(self):
        for parameter in self.params:
            parameter.grad = None

    def step(self):
        for parameter in self.params:
            if parameter.grad is not None:
                parameter.data -= self.lr * parameter.grad


def descend(objective, batch, random, lr=0.1):
    """Take one step; return each member's loss."""
    optimizers = [GradientDescent(group["params"], lr) for group in objective.parameter_groups()]
    return autograd_step(objective, optimizers, batch, random)
