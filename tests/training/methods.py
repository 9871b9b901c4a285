"""Every method as changes to the tiny run of `tests.tiny_run`."""

PIXELS = "--objective.predict=pixels"
NO_BLOCKS = "--masks.multiblock=[]"
ON_IMAGES = (
    "--data.clip.num_frames=1",
    "--encoder.tubelet=[1, 4, 4]",
    NO_BLOCKS,
    "--encoder.positions=sincos_plane",
)
NO_TEACHER = ("--objective.target_encoder=none", "--objective.distance=l2")

METHODS = {
    "vjepa": (),
    "separate": (
        "--augment={jitter: {}, grey: 0.2, blur: {kernel_size: 3, p: 0.3}, target: separate}",
    ),
    "views": (
        *NO_TEACHER[:1], NO_BLOCKS, "--objective.predict=views", "--masks.random=[{ratio: 0.5}]",
        "--objective.sigreg={directions: 16, places: 4, projector: {hidden_dim: 32, out_dim: 8}}",
        "--objective.views={num_global: 2, num_local: 2, local_size: 8, local_frames: 2}",
        "--augment.jitter={p: 0.5}", "--objective.views.augment_global=true",
    ),
    "future": ("--masks.future=[{context: [0.5, 0.5]}]", "--masks.future_share=0.5", "--encoder.causal=true"),
    "each_step": (
        NO_BLOCKS, "--masks.future=[{context: [0.25, 0.5], each_step: true}]", "--encoder.causal=true",
        "--encoder.tubelet=[1, 4, 4]", "--predictor.residual=true",
    ),
    "futures": ("--masks.future=[{context: [0.5, 0.5]}]", "--objective.futures={samples: 3, noise: 4}"),
    "videomae": (PIXELS, NO_BLOCKS, "--masks.tube=[{ratio: 0.75}]", "--encoder.positions=sinusoid"),
    "videomaev2": (PIXELS, NO_BLOCKS, "--masks.tube=[{ratio: 0.75, running_cell: 0.5}]"),
    "mae": (
        *ON_IMAGES, PIXELS, "--masks.random=[{ratio: "
                            "0.75}]", "--objective.pixel_targets=patch", "--encoder.class_token=true",
    ),
    "ijepa": (*ON_IMAGES, "--masks.image_blocks=[{min_keep: 2}]", "--objective.distance=smooth_l1"),
    "vjepa2_1": (
        "--encoder.levels=[0, 1]", "--objective.context_loss={weight: 0.5, warmup: [2, 6]}",
        "--encoder.image_tokenizer=true", "--data.image_share=0.4",
    ),
    "salt": ("--objective.target_encoder=frozen", "--objective.teacher_steps=4"),
    "sigreg": (*NO_TEACHER, "--objective.sigreg={directions: 16, places: 3}"),
    "vicreg": (*NO_TEACHER, "--objective.vicreg={predictions: 1.0, places: 3}"),
    "residual": (
        "--encoder.tubelet=[1, 4, 4]", "--predictor.residual=true",
        "--masks.future=[{context: [0.5, 0.5]}]", "--masks.future_share=0.5",
        "--objective.future_loss={rollout_steps: 1, change_weight: 0.5}",
    ),
    "batch_targets": ("--objective.target_norm=batch", "--objective.target_blocks=2"),
    "ema+vicreg": ("--objective.vicreg={variance: 0.5, covariance: 0.0, places: 3}",),
    "frozen+sigreg": (
        "--objective.target_encoder=frozen", "--objective.teacher_steps=4",
        "--objective.sigreg={directions: 16, places: 3, projector: {hidden_dim: 8, out_dim: 4}}",
    ),
    "sigreg+vicreg": (
        *NO_TEACHER, "--objective.sigreg={directions: 16, places: 3}", "--objective.vicreg={places: 3}",
    ),
}  # fmt: skip


def changes_of(method, manifest):
    """Arguments of a method; the one that mixes in images takes them from the same videos."""
    images = (f"--data.images={manifest}",) if method == "vjepa2_1" else ()
    return (*METHODS[method], *images)
