"""The kernels: one program that runs any rule on a TPU or a GPU."""
