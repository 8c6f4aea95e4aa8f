"""What the project needs and installs: the ranges, of which ``requirements*.txt`` are the locks."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent

INSTALL = [
    # A line of Pythons has one series of TensorFlow. 2.15 is the last with tf.estimator and has no
    # wheel for 3.12; reproducible_ml.tensorflow_lines gives the others theirs back.
    "tensorflow>=2.15,<2.16; python_version < '3.12'",
    "tensorflow>=2.19,<2.20; python_version == '3.12'",
    "tensorflow>=2.21,<2.22; python_version >= '3.13'",
    "tensorflow-estimator>=2.15,<2.16",
    # Keras 2, which tf.estimator and TF-GAN build on; the Keras of TensorFlow 2.16 and later is 3.
    "tf-keras>=2.19,<2.20; python_version == '3.12'",
    "tf-keras>=2.21,<2.22; python_version >= '3.13'",
    "tensorflow-gan==2.1.0",
    # TF-GAN asks for any; 0.24 and later need TensorFlow 2.16, 0.25 needs 2.18.
    "tensorflow-probability==0.23.*; python_version < '3.12'",
    "tensorflow-probability==0.25.*; python_version >= '3.12'",
    # TF-Probability's own dependency: 0.1.8 has no wheel for 3.13. The lock of the others stays.
    "dm-tree<0.1.9; python_version < '3.13'",
    "dm-tree>=0.1.9; python_version >= '3.13'",
    "tf-slim>=1.1,<2",
    "numpy>=1.26,<2; python_version < '3.12'",
    "numpy>=2,<3; python_version >= '3.12'",
    "scipy>=1.11",
    "scikit-learn>=1.3",
    "pandas>=2.1",
    "pillow>=10",
    "sacred>=0.8.7,<0.9",
    "sacredboard==0.4.2",
    "pymongo>=4.6,<5",
    # The board's server; older ones fail with today's Werkzeug and Python.
    "flask>=2.2",
    "gevent>=23.9",
    # Sacred and Sacredboard import pkg_resources, which setuptools 81 dropped.
    "setuptools>=75.8,<81",
    "click>=8.1",
    "tqdm>=4.66",
    # Reports and new projects are templates.
    "jinja2>=3.1",
    # Checksums and GZIP at the speed of the disk.
    "crc32c>=2.4",
    "isal>=1.5",
    # Worker processes that take handlers of any kind; scikit-learn brings it anyway.
    "joblib>=1.3",
    # What scikit-learn and TensorFlow bring anyway, too.
    "threadpoolctl>=3",
    "packaging>=21",
    "wrapt>=1.11,<2",
]

EXTRAS = {
    # Serialization on more than one machine. google-crc32c is what Beam checks its shards with.
    "beam": ["apache-beam>=2.60", "google-crc32c>=1.5"],
    "search": ["optuna>=3.6"],
    # TensorFlow's own choice of CUDA packages. Not in the locks: they are large, and nothing was
    # measured on a GPU.
    "gpu": [
        "tensorflow[and-cuda]>=2.15,<2.16; python_version < '3.12' and sys_platform == 'linux'",
        "tensorflow[and-cuda]>=2.19,<2.20; python_version == '3.12' and sys_platform == 'linux'",
        "tensorflow[and-cuda]>=2.21,<2.22; python_version >= '3.13' and sys_platform == 'linux'",
    ],
    # Configuration files in YAML, which Sacred reads where this is installed.
    "yaml": ["pyyaml>=6"],
    # The source that reads Parquet files.
    "parquet": ["pyarrow>=15"],
    # The source that reads data sets of TensorFlow Datasets: only where its tensorflow-metadata
    # shares protobuf and absl with TensorFlow: with 2.15 not before Python 3.11 nor from 1.16 on.
    "tfds": [
        "tensorflow-datasets>=4.9; python_version >= '3.11'",
        "tensorflow-metadata<1.16; python_version == '3.11'",
        # TFDS imports it without asking for it.
        "importlib-resources>=6; python_version >= '3.11'",
    ],
    # A kernel, progress bars and plots; the notebook server itself is whichever one uses.
    "notebook": ["ipykernel>=6.29", "ipywidgets>=8.1", "matplotlib>=3.8"],
    "docs": [
        "sphinx>=7.4",
        "myst-parser>=3",
        "furo>=2024.8",
        "nbclient>=0.10",
        "nbformat>=5.10",
    ],
    "dev": [
        "build>=1.2",
        "hypothesis>=6.100",
        "import-linter>=2",
        "mypy>=1.15",
        # The tests look for processes that were left.
        "psutil>=5.9",
        "pytest>=8",
        "pytest-cov>=5",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        "selenium>=4.20",
        "types-tqdm>=4.66",
        "wheel>=0.43",
    ],
    # The peers that the benchmarks measure against; TFDS as above. PyTorch is measured where it is
    # installed: its package index wheel brings 2 GB of CUDA along.
    "bench": [
        "tensorflow-datasets>=4.9; python_version >= '3.11'",
        "tensorflow-metadata<1.16; python_version == '3.11'",
        "importlib-resources>=6; python_version >= '3.11'",
        "array-record>=0.5; sys_platform == 'linux'",
        "grain>=0.2; sys_platform == 'linux'",
    ],
}


def version() -> str:
    """Return ``__version__`` as the package's text states it, without importing the package."""
    text = (HERE / "reproducible_ml" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("reproducible_ml/__init__.py states no __version__")
    return found.group(1)


def readme() -> str:
    """Return the README without pictures and links of the checkout, which a package lacks."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


class BuildWithExperiments(build_py):
    """Puts ``experiments/`` into the package, from where ``reproducible-ml new --mnist`` copies it.

    They are copied rather than imported from there, because a run records a user's own files and
    not what lies in site-packages.
    """

    def run(self) -> None:
        """Build the package, and add the files."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "reproducible_ml", "templates", "mnist")
            self.mkpath(str(target))
            for path in sorted(HERE.glob("experiments/*.py")):
                self.copy_file(str(path), str(target / path.name))


setup(
    name="reproducible-ml",
    version=version(),
    description="Serialize data, train GANs, and prove that a run repeats bit for bit",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.14",
    cmdclass={"build_py": BuildWithExperiments},
    packages=find_packages(include=["reproducible_ml", "reproducible_ml.*"]),
    package_data={
        "reproducible_ml": ["py.typed", "templates/project/*"],
        "reproducible_ml.report": ["templates/*"],
        "reproducible_ml.tracking.board": ["static/**/*", "templates/*"],
    },
    # With it each folder of data counts as a package that is not listed.
    include_package_data=False,
    zip_safe=False,
    install_requires=INSTALL,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "reproducible-ml = reproducible_ml.cli:main",
            "sacredboard = reproducible_ml.tracking.board.main:main",
        ]
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
