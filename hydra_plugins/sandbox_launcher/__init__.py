"""The launcher of `sandbox`, in the namespace package where Hydra looks for plugins."""
