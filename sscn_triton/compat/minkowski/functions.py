"""MinkowskiEngine's functions under its layers, which are called by ``.apply(...)``.

Their keys of output maps may be None or not set: the function then makes the map, and sets the key.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor as Values

from sscn_triton.compat.minkowski import convolution, events, pooling, sites
from sscn_triton.compat.minkowski.maps.fields import gathered
from sscn_triton.compat.minkowski.maps.kernels import KernelGenerator
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.normalization import instance_norm
from sscn_triton.compat.minkowski.settings import BroadcastMode, ConvolutionMode, PoolingMode, expect_choice
from sscn_triton.compat.minkowski.tensor import check_features, check_rows

Key = CoordinateMapKey


def _known(key: Key | None, made: Any) -> Key:
    """The key of an output map: the given one, or that of the map that ``made`` makes, which the given one becomes."""
    if key is not None and key.is_key_set():
        return key
    found = made()
    if key is not None:
        key.set_key(*found.get_key())
    return found


class MinkowskiConvolutionFunction:
    """The convolution of `MinkowskiConvolution`, without its bias."""

    transposed = False

    @classmethod
    def apply(
        cls,
        input_features: Values,
        kernel_weights: Values,
        kernel_generator: KernelGenerator,
        convolution_mode: ConvolutionMode,
        in_coordinate_map_key: Key,
        out_coordinate_map_key: Key | None = None,
        coordinate_manager: CoordinateManager | None = None,
    ) -> Values:
        """Features ``[M, out]`` on the output map; ``kernel_weights`` are ``[V, in, out]``."""
        expect_choice("convolution_mode", convolution_mode, ConvolutionMode)
        manager, shape = _checked(coordinate_manager), kernel_generator
        expand = shape.expand_coordinates
        _check_rows(input_features, manager, in_coordinate_map_key)

        def made() -> Key:
            return convolution.output_key(manager, in_coordinate_map_key, shape, cls.transposed, expand)

        key = _known(out_coordinate_map_key, made)
        rules = convolution.rules_of(manager, in_coordinate_map_key, key, shape, cls.transposed)
        return convolution.convolved(input_features, kernel_weights[:, None], rules, shape, None)


class MinkowskiConvolutionTransposeFunction(MinkowskiConvolutionFunction):
    """The convolution of `MinkowskiConvolutionTranspose`, without its bias."""

    transposed = True


class MinkowskiLocalPoolingFunction:
    """The pooling of `MinkowskiPoolingBase`."""

    transposed = False

    @classmethod
    def apply(
        cls,
        input_features: Values,
        pooling_mode: PoolingMode,
        kernel_generator: KernelGenerator,
        in_coordinate_map_key: Key,
        out_coordinate_map_key: Key | None = None,
        coordinate_manager: CoordinateManager | None = None,
    ) -> Values:
        """Features ``[M, C]`` on the output map."""
        mode, manager = pooling.local_mode(pooling_mode), _checked(coordinate_manager)
        _check_rows(input_features, manager, in_coordinate_map_key)

        def made() -> Key:
            return pooling.pool_key(manager, in_coordinate_map_key, kernel_generator, cls.transposed)

        key = _known(out_coordinate_map_key, made)
        book = pooling.pool_rules(manager, in_coordinate_map_key, key, kernel_generator, cls.transposed)
        return pooling.pooled(input_features, book, PoolingMode.LOCAL_SUM_POOLING if cls.transposed else mode)


class MinkowskiLocalPoolingTransposeFunction(MinkowskiLocalPoolingFunction):
    """The pooling of `MinkowskiPoolingTranspose`; its mode has no effect."""

    transposed = True


class MinkowskiGlobalPoolingFunction:
    """The pooling of `MinkowskiGlobalPooling`."""

    @staticmethod
    def apply(
        input_features: Values,
        pooling_mode: PoolingMode,
        in_coordinate_map_key: Key,
        out_coordinate_map_key: Key | None = None,
        coordinate_manager: CoordinateManager | None = None,
    ) -> Values:
        """Features ``[B, C]`` of the events of a map or a field: of the one that has as many rows, if both have the
        key."""
        mode, manager = events.global_mode("pooling_mode", pooling_mode), _checked(coordinate_manager)
        batch = _events_of_rows(len(input_features), manager, in_coordinate_map_key)
        features, found = events.reduced(input_features, batch, mode.reduction)
        _known(out_coordinate_map_key, lambda: manager.origin_at(found, int(found[-1]) + 1 if len(found) else 0))
        return features


class MinkowskiBroadcastFunction:
    """The sum or product of `MinkowskiBroadcastAddition` and `MinkowskiBroadcastMultiplication`."""

    @staticmethod
    def apply(
        input_features: Values,
        input_features_global: Values,
        operation_type: BroadcastMode,
        in_coords_key: Key,
        glob_coords_key: Key,
        coords_manager: CoordinateManager,
    ) -> Values:
        """Features ``[N, C]`` on the map ``in_coords_key``."""
        mode, manager = expect_choice("operation_type", operation_type, BroadcastMode), _checked(coords_manager)
        _check_rows(input_features, manager, in_coords_key)
        _check_rows(input_features_global, manager, glob_coords_key)
        spread = events.spread_to_sites(input_features_global, manager, in_coords_key, glob_coords_key)
        return events.joined(input_features, spread, mode)


class MinkowskiInstanceNormFunction:
    """The norm of `MinkowskiInstanceNorm`, without its weight and bias."""

    @staticmethod
    def apply(
        in_feat: Values,
        in_coords_key: Key,
        glob_coords_key: Key | None = None,
        coords_manager: CoordinateManager | None = None,
        gpooling_mode: PoolingMode = PoolingMode.GLOBAL_AVG_POOLING_KERNEL,
    ) -> Values:
        """Features ``[N, C]``; ``gpooling_mode`` must be a mean."""
        manager = _checked(coords_manager)
        if expect_choice("gpooling_mode", gpooling_mode, PoolingMode).reduction != "mean":
            raise ValueError(f"gpooling_mode must be a mean, got {gpooling_mode.name}")
        _check_rows(in_feat, manager, in_coords_key)
        _known(glob_coords_key, lambda: manager.origin_of(in_coords_key))
        return instance_norm(manager.sparse(in_feat, in_coords_key), None, None, 1e-8)


class MinkowskiInterpolationFunction:
    """The interpolation of `MinkowskiInterpolation`."""

    @staticmethod
    def apply(
        input_features: Values,
        tfield: Values,
        in_coordinate_map_key: Key,
        coordinate_manager: CoordinateManager | None = None,
    ) -> tuple[Values, Values, Values, Values]:
        """Features ``[M, C]``, and the rows, points and weights that they consist of."""
        manager = _checked(coordinate_manager)
        _check_rows(input_features, manager, in_coordinate_map_key)
        maps = manager.corners(in_coordinate_map_key, tfield)
        return gathered(input_features, maps, len(tfield)), *maps


class MinkowskiPruningFunction:
    """`MinkowskiPruning`."""

    @staticmethod
    def apply(
        in_feat: Values,
        mask: Values,
        in_coords_key: Key,
        out_coords_key: Key | None = None,
        coords_manager: CoordinateManager | None = None,
    ) -> Values:
        """The features of the rows where a bool mask ``[N]`` is true."""
        manager = _checked(coords_manager)
        _check_rows(in_feat, manager, in_coords_key)
        rows = sites.kept_rows(mask, manager.size(in_coords_key), in_feat.device)
        _known(out_coords_key, lambda: manager.pruned(in_coords_key, rows))
        return in_feat.index_select(0, rows)


class MinkowskiUnionFunction:
    """`MinkowskiUnion`."""

    @staticmethod
    def apply(
        in_coords_keys: list[Key], out_coords_key: Key, coordinate_manager: CoordinateManager, *in_feats: Values
    ) -> Values:
        """The sum of the features on the union of their maps."""
        manager = _checked(coordinate_manager)
        if len(in_feats) != len(in_coords_keys):
            raise ValueError(f"there are {len(in_feats)} features for {len(in_coords_keys)} keys: give one per key")
        for features, in_key in zip(in_feats, in_coords_keys, strict=True):
            _check_rows(features, manager, in_key)
        key = _known(out_coords_key, lambda: manager.joined(in_coords_keys))
        return sites.united(list(in_feats), manager, in_coords_keys, key)


class MinkowskiDirectMaxPoolingFunction:
    """The largest feature of the rows that lead to each output row."""

    @staticmethod
    def apply(in_map: Values, out_map: Values, in_feat: Values, out_nrows: int, is_sorted: bool = False) -> Values:
        """``[out_nrows, C]``: row ``out_map[n]`` is one of the rows ``in_map[n]`` of ``in_feat``; zeros for no row.

        ``is_sorted``: whether ``out_map`` ascends; has no effect on the result.
        """
        rows, places = in_map.long(), out_map.long()
        if len(rows) != len(places) or (len(rows) and int(places.max()) >= out_nrows):
            raise ValueError(f"in_map and out_map must have one length, and out_map must be below {out_nrows}")
        features, found = events.reduced(in_feat.index_select(0, rows), places, "max")
        return in_feat.new_zeros(out_nrows, in_feat.shape[1]).index_copy(0, found, features)


def _check_rows(features: Values, manager: CoordinateManager, key: Key) -> None:
    """Raise unless features are ``[N, C]``, one row per site of a map."""
    check_features(features)
    check_rows(features, manager.size(key), "site")


def _events_of_rows(count: int, manager: CoordinateManager, key: Key) -> Values:
    """``[count]``: the event of each row of the map or the field that has the key and as many rows."""
    found = [manager.sites(key)] if key in manager else []
    found += [manager.get_coordinate_field(key)] if manager.has_field(key) else []
    for coordinates in found:
        if len(coordinates) == count:
            return coordinates[:, 0].floor().long()
    rows = " or ".join(str(len(coordinates)) for coordinates in found)
    if not found:
        raise ValueError(f"there is neither a map nor a field {key}")
    raise ValueError(f"features must be [{rows}, C], one row per site or point of {key}, got {count} rows")


def _checked(manager: CoordinateManager | None) -> CoordinateManager:
    return expect_choice("coordinate_manager", manager, CoordinateManager)


__all__ = [name for name in dir() if name.startswith("Minkowski")]
