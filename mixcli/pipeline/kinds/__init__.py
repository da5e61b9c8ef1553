"""What differs between point clouds, images and hidden states: one module each for what the setup asks of it (files,
sizes, fields: `contract.Kind`) and one for what the engine asks (arrays on a device: `tensors.Tensors`).
"""
