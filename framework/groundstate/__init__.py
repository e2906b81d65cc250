"""A plugin framework for energy-based and structured models.

Names are imported on first use: `import groundstate` itself loads no numerical library.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundstate.adapter import Adapted as Adapted
    from groundstate.adapter import Adapter as Adapter
    from groundstate.component import Component as Component
    from groundstate.component import Registered as Registered
    from groundstate.configuration import Configuration as Configuration
    from groundstate.data import Dataset as Dataset
    from groundstate.data import Metric as Metric
    from groundstate.data import Reader as Reader
    from groundstate.energy import Energy as Energy
    from groundstate.energy import FunctionEnergy as FunctionEnergy
    from groundstate.energy import QuadraticEnergy as QuadraticEnergy
    from groundstate.energy import view as view
    from groundstate.energy import with_linear as with_linear
    from groundstate.errors import CertificationError as CertificationError
    from groundstate.errors import ConfigurationError as ConfigurationError
    from groundstate.errors import FormatError as FormatError
    from groundstate.errors import GradientError as GradientError
    from groundstate.errors import GroundstateError as GroundstateError
    from groundstate.errors import PluginError as PluginError
    from groundstate.errors import PluginWarning as PluginWarning
    from groundstate.errors import RegistryError as RegistryError
    from groundstate.errors import ViewError as ViewError
    from groundstate.factors import FactorGraph as FactorGraph
    from groundstate.factors import FactorGroup as FactorGroup
    from groundstate.fitting import Fit as Fit
    from groundstate.fitting import fit as fit
    from groundstate.generator import BoundedGenerator as BoundedGenerator
    from groundstate.generator import Chain as Chain
    from groundstate.generator import DensityGenerator as DensityGenerator
    from groundstate.generator import Generator as Generator
    from groundstate.generator import chain as chain
    from groundstate.hooks import hookimpl as hookimpl
    from groundstate.inference import infer as infer
    from groundstate.learning import Batch as Batch
    from groundstate.learning import Learner as Learner
    from groundstate.learning import Loss as Loss
    from groundstate.learning import Minibatches as Minibatches
    from groundstate.learning import Model as Model
    from groundstate.learning import Needs as Needs
    from groundstate.learning import Source as Source
    from groundstate.move import to as to
    from groundstate.pipeline import run as run
    from groundstate.registry import Registry as Registry
    from groundstate.registry import load as load
    from groundstate.solution import Record as Record
    from groundstate.solution import Solution as Solution
    from groundstate.solution import SolveError as SolveError
    from groundstate.solver import Beliefs as Beliefs
    from groundstate.solver import Deadline as Deadline
    from groundstate.solver import PreparableSolver as PreparableSolver
    from groundstate.solver import Solver as Solver
    from groundstate.solver import State as State
    from groundstate.solving import solve as solve
    from groundstate.space import Discrete as Discrete
    from groundstate.space import Real as Real
    from groundstate.space import Space as Space
    from groundstate.status import Status as Status
    from groundstate.unions import union as union
    from groundstate.views import Covariance as Covariance
    from groundstate.views import Density as Density
    from groundstate.views import Quadratic as Quadratic
    from groundstate.views import Score as Score
    from groundstate.views import SetCritic as SetCritic
    from groundstate.views import SparseMatrix as SparseMatrix

_WHERE = {
    "Adapted": "groundstate.adapter",
    "Adapter": "groundstate.adapter",
    "Batch": "groundstate.learning",
    "Beliefs": "groundstate.solver",
    "CertificationError": "groundstate.errors",
    "Chain": "groundstate.generator",
    "Component": "groundstate.component",
    "Configuration": "groundstate.configuration",
    "ConfigurationError": "groundstate.errors",
    "Covariance": "groundstate.views",
    "Dataset": "groundstate.data",
    "Deadline": "groundstate.solver",
    "Density": "groundstate.views",
    "Discrete": "groundstate.space",
    "Energy": "groundstate.energy",
    "FactorGraph": "groundstate.factors",
    "FactorGroup": "groundstate.factors",
    "Fit": "groundstate.fitting",
    "FunctionEnergy": "groundstate.energy",
    "DensityGenerator": "groundstate.generator",
    "BoundedGenerator": "groundstate.generator",
    "Generator": "groundstate.generator",
    "FormatError": "groundstate.errors",
    "GradientError": "groundstate.errors",
    "GroundstateError": "groundstate.errors",
    "Learner": "groundstate.learning",
    "Loss": "groundstate.learning",
    "Metric": "groundstate.data",
    "Minibatches": "groundstate.learning",
    "Model": "groundstate.learning",
    "Needs": "groundstate.learning",
    "PluginError": "groundstate.errors",
    "PluginWarning": "groundstate.errors",
    "PreparableSolver": "groundstate.solver",
    "Quadratic": "groundstate.views",
    "QuadraticEnergy": "groundstate.energy",
    "Reader": "groundstate.data",
    "Real": "groundstate.space",
    "Record": "groundstate.solution",
    "Registered": "groundstate.component",
    "Registry": "groundstate.registry",
    "RegistryError": "groundstate.errors",
    "Score": "groundstate.views",
    "SetCritic": "groundstate.views",
    "Solution": "groundstate.solution",
    "SolveError": "groundstate.solution",
    "Solver": "groundstate.solver",
    "Source": "groundstate.learning",
    "Space": "groundstate.space",
    "SparseMatrix": "groundstate.views",
    "State": "groundstate.solver",
    "Status": "groundstate.status",
    "ViewError": "groundstate.errors",
    "chain": "groundstate.generator",
    "fit": "groundstate.fitting",
    "hookimpl": "groundstate.hooks",
    "infer": "groundstate.inference",
    "load": "groundstate.registry",
    "run": "groundstate.pipeline",
    "solve": "groundstate.solving",
    "to": "groundstate.move",
    "union": "groundstate.unions",
    "view": "groundstate.energy",
    "with_linear": "groundstate.energy",
}

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'groundstate' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value  # the next access costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
