"""The table of pages."""

from collections.abc import Callable

from msgspec.structs import replace

from kala.api.http import Request, Response
from kala.api.route import Route
from kala.core.caller import Role
from kala.ui.assets import Assets
from kala.ui.pages.account import AccountPage
from kala.ui.pages.api import ApiPage
from kala.ui.pages.audit import AuditPage
from kala.ui.pages.bulk import BulkPage
from kala.ui.pages.graph import GraphPage
from kala.ui.pages.invitation import InvitationPage
from kala.ui.pages.job import JobPage
from kala.ui.pages.job_form import JobForm
from kala.ui.pages.jobs import JobsPage
from kala.ui.pages.login import LoginPage
from kala.ui.pages.overview import OverviewPage
from kala.ui.pages.preview import PreviewPage
from kala.ui.pages.run import RunPage
from kala.ui.pages.runs import RunsPage
from kala.ui.pages.settings import SettingsPage
from kala.ui.pages.system import SystemPage
from kala.ui.pages.tokens import TokensPage
from kala.ui.pages.user import UserPage
from kala.ui.pages.users import UsersPage
from kala.ui.site import Renderer, Site


def _page(path: str, handler: Callable[..., Response], name: str, role: Role = Role.VIEWER) -> Route:
    return Route("GET", path, handler, name, role, "", is_page=True)


def _form(path: str, handler: Callable[..., Response], name: str, role: Role) -> Route:
    """Return the route that a form of a page is sent to."""
    return Route("POST", path, handler, name, role, "", body=Request, is_page=True)


# A table is read by its rows.
# fmt: off
PAGES = (
    _page("/", OverviewPage.show, "overviewPage"),
    _page("/jobs", JobsPage.show, "jobsPage"),
    _form("/jobs/bulk", BulkPage.answer, "bulkForm", Role.OPERATOR),
    _page("/jobs/{id}", JobPage.show, "jobPage"),
    _form("/jobs/{id}/start", JobPage.start, "startJobForm", Role.OPERATOR),
    _form("/jobs/{id}/enable", JobPage.enable, "enableJobForm", Role.OPERATOR),
    _form("/jobs/{id}/disable", JobPage.disable, "disableJobForm", Role.OPERATOR),
    _page("/jobs/{id}/delete", JobPage.ask_to_delete, "deleteJobPage", Role.EDITOR),
    _form("/jobs/{id}/delete", JobPage.delete, "deleteJobForm", Role.EDITOR),
    _page("/graph", GraphPage.show, "graphPage"),
    _page("/api", ApiPage.show, "apiPage", Role.ANYONE),
    _page("/system", SystemPage.show, "systemPage"),
    _page("/settings", SettingsPage.show, "settingsPage", Role.ADMIN),
    _page("/runs", RunsPage.show, "runsPage"),
    _form("/runs/cancel", RunsPage.cancel, "cancelRunsForm", Role.OPERATOR),
    _page("/runs/{id}", RunPage.show, "runPage"),
    _form("/runs/{id}/cancel", RunPage.cancel, "cancelRunForm", Role.OPERATOR),
    _form("/runs/{id}/retry", RunPage.retry, "retryRunForm", Role.OPERATOR),
    _page("/runs/{id}/delete", RunPage.ask_to_delete, "deleteRunPage", Role.EDITOR),
    _form("/runs/{id}/delete", RunPage.delete, "deleteRunForm", Role.EDITOR),
    _page("/jobs/new", JobForm.new, "newJobPage", Role.EDITOR),
    _form("/jobs/new", JobForm.send_new, "createJobByForm", Role.EDITOR),
    _page("/jobs/new/preview", PreviewPage.show, "previewPage"),
    _page("/jobs/{id}/edit", JobForm.edit, "editJobPage", Role.EDITOR),
    _form("/jobs/{id}/edit", JobForm.send_edit, "changeJobByForm", Role.EDITOR),
    _page("/login", LoginPage.show, "loginPage", Role.ANYONE),
    _form("/login", LoginPage.log_in, "loginForm", Role.ANYONE),
    _form("/logout", LoginPage.log_out, "logoutForm", Role.ANYONE),
    _page("/invitation", InvitationPage.show, "invitationPage", Role.ANYONE),
    _form("/invitation", InvitationPage.accept, "acceptInvitationForm", Role.ANYONE),
    _page("/account", AccountPage.show, "accountPage"),
    _form("/account", AccountPage.change_password, "changePasswordForm", Role.VIEWER),
    _page("/users", UsersPage.show, "usersPage", Role.ADMIN),
    _form("/users", UsersPage.create, "createUserForm", Role.ADMIN),
    _page("/users/{name}", UserPage.show, "userPage", Role.ADMIN),
    _form("/users/{name}", UserPage.change, "changeUserForm", Role.ADMIN),
    _form("/users/{name}/invite", UserPage.invite, "inviteUserForm", Role.ADMIN),
    _form("/users/{name}/logout", UserPage.log_out, "logOutUserForm", Role.ADMIN),
    _page("/users/{name}/delete", UserPage.ask_to_delete, "deleteUserPage", Role.ADMIN),
    _form("/users/{name}/delete", UserPage.delete, "deleteUserForm", Role.ADMIN),
    _page("/tokens", TokensPage.show, "tokensPage", Role.ADMIN),
    _form("/tokens", TokensPage.create, "createTokenForm", Role.ADMIN),
    _page("/tokens/{name}/revoke", TokensPage.ask_to_revoke, "revokeTokenPage", Role.ADMIN),
    _form("/tokens/{name}/revoke", TokensPage.revoke, "revokeTokenForm", Role.ADMIN),
    _page("/audit", AuditPage.show, "auditPage", Role.ADMIN),
    _page("/static/{digest}/{file}", Assets.respond, "asset", Role.ANYONE),
    _page("/static/{digest}/{folder}/{file}", Assets.respond, "assetInFolder", Role.ANYONE),
)
# fmt: on


_KINDS = (
    AccountPage,
    ApiPage,
    AuditPage,
    BulkPage,
    GraphPage,
    InvitationPage,
    JobPage,
    JobForm,
    JobsPage,
    LoginPage,
    OverviewPage,
    PreviewPage,
    RunPage,
    RunsPage,
    SettingsPage,
    SystemPage,
    TokensPage,
    UserPage,
    UsersPage,
)


def pages(renderer: Renderer) -> list[Route]:
    """Return the routes of all pages. A page is made for each request, and sees what its caller sees."""
    return [replace(route, handler=_handler(route.handler, renderer)) for route in PAGES]


def _handler(method: Callable[..., Response], renderer: Renderer) -> Callable[[Request], Response]:
    if method is Assets.respond:
        return renderer.assets.respond
    kind = next(kind for kind in _KINDS if vars(kind).get(method.__name__) is method)
    return lambda request: method(kind(Site(renderer, request.caller)), request)
