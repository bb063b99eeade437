"""What a registration's fields must be."""

from collections.abc import Callable

from sluice.domain.accounts.account import Address, parse_address, parse_name
from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.services.accounts.new_passwords import NewPasswords


def checked(
    passwords: NewPasswords, email: str, password: str, name: str | None, problem_of: Callable[[Address], str]
) -> tuple[Address, str]:
    """The address and the name. `problem_of`: what else is wrong with the address, or empty. Errors: ValidationFailed
    with every problem."""
    problems: list[FieldProblem] = []
    address, display = Address("", ""), ""
    try:
        address = parse_address(email)
        if problem := problem_of(address):
            problems.append(FieldProblem("email", problem))
    except ValidationFailed as exc:
        problems += exc.problems
    if problem := passwords.problem(password, address.local_part) or "":
        problems.append(FieldProblem("password", problem))
    try:
        display = parse_name(name)
    except ValidationFailed as exc:
        problems += exc.problems
    if problems:
        raise ValidationFailed(tuple(problems))
    return address, display
