"""Grade diabetic retinopathy on retinal fundus photographs: train, evaluate, explain, export."""

__version__ = "0.1.0"
