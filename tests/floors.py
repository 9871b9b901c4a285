"""The floors of the library: a module imports from lower floors, or from its own package."""

# From the ground up; a name is a module of vjepa/ or a package with all that is in it.
FLOORS = (
    ("packages",),
    (
        "choices",
        "cpu_threads",
        "double_precision",
        "environments",
        "files",
        "foreign_text",
        "grid",
        "seeding",
        "sharded",
        "source_commit",
        "workers",
    ),
    ("batch", "result_tables", "schedules", "tokens"),
    ("layers",),
    ("masks",),
    ("data",),
    ("models",),
    ("weights",),
    ("objectives",),
    ("inference", "profiling", "testing"),
    ("evaluation", "export"),
    ("planning",),
    ("plots",),
    ("config",),
    ("training",),
    ("recipes",),
    ("commands",),
    ("__main__", "tools"),
)
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}
