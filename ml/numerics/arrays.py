"""Names for the arrays that all rooms pass around; docstrings say shapes and units."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]
