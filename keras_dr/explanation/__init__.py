"""Explanation of predictions: heat maps of the evidence, boards of pictures, and scores of how trustworthy maps are.

    FOLDER/ board.png scores.json heatmaps/<image_id>.npz heatmaps/<image_id>.png [before-after.png] [lesions.png]

An .npz file holds one float32 (h, w) map per method, as `Explainer.heatmaps` makes it; a .png file is the overlay of a
photograph on the board. With several methods the names of the pictures include the method: board-grad-cam.png,
heatmaps/<image_id>-grad-cam.png. For one photograph, chosen by its id: explanation.png, heatmaps.npz, scores.json.
"""
