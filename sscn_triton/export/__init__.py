"""Networks as programs of `torch.export`: plain tensors in and out, for any number of voxels."""

from sscn_triton.export.network import ExportedNetwork, export_network, load_exported
from sscn_triton.export.plan import GridPlan, rules_of

__all__ = ["ExportedNetwork", "GridPlan", "export_network", "load_exported", "rules_of"]
