"""Where a grader saw its evidence: heat maps, boards to look at, and scores that say how far to trust them.

    FOLDER/ board.png scores.json heatmaps/<image_id>.npz heatmaps/<image_id>.png [before-after.png] [lesions.png]

An .npz holds a float32 (h, w) map a method, as `Explainer.heatmaps` makes it; a .png is the overlay of a photograph on
the board. With several methods the pictures carry the method's name: board-grad-cam.png,
heatmaps/<image_id>-grad-cam.png. One photograph by its id: explanation.png, heatmaps.npz, scores.json.
"""
