"""The import contract that packages are reached through their public names alone."""

from __future__ import annotations

from typing import Any

from importlinter import Contract, ContractCheck, fields, output


class FacadeContract(Contract):
    """Modules of a package are imported by that package only; others import the package.

    Configuration options:
        - root: The package that holds all others.
        - open_packages: Packages without a facade, whose modules are imported one by one.
    """

    type_name = "facade"

    root = fields.StringField()
    open_packages = fields.SetField(subfield=fields.StringField())

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        """Find each import that goes past a package's facade."""
        del verbose
        past = []
        for importer in sorted(graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                package = imported.rpartition(".")[0]
                inner = package.startswith(str(self.root)) and not graph.find_children(imported)
                inside = f"{importer}.".startswith(f"{package}.")
                if inner and not inside and package not in self.open_packages:  # type: ignore[operator]
                    past.append(f"{importer} imports {imported}; import it from {package}.")
        return ContractCheck(kept=not past, metadata={"past": past})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print a line an import."""
        for line in check.metadata["past"]:
            output.print_error(line)
