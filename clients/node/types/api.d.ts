// Made by scripts/api-types.js from docs/openapi.json: npm run types.

/** An invitation, and the password that the user chooses. */
export type Acceptance = {
  invitation: string;
  /** At least 12 characters, at most 256. */
  password: string;
};

/** The user who can log in now. */
export type Accepted = {
  user: string;
};

/** What was done, or refused, as the audit log names it. */
export type Action = "job.cancel" | "job.create" | "job.delete" | "job.delete_all" | "job.start" | "job.update" | "login" | "logout" | "request" | "run.cancel" | "run.delete" | "run.retry" | "token.create" | "token.delete" | "user.create" | "user.delete" | "user.invite" | "user.logout" | "user.update";

/** An action on many jobs: those in `ids`, or those that match `filter`. */
export type Bulk = {
  action: BulkAction;
  /** Ids or unique names. */
  ids?: string[] | null;
  filter?: BulkFilter | null;
  /** How many jobs there must be; required with `filter`. */
  expect?: number | null;
};

/** What to do to jobs. */
export type BulkAction = "cancel" | "delete" | "disable" | "enable" | "start";

/** A job that the action was not possible for. */
export type BulkFailure = {
  /** The id of the job, or its name as in the request. */
  id: string;
  /** One sentence. */
  error: string;
};

/** Jobs as the parameters of a list select them. */
export type BulkFilter = {
  q?: string | null;
  owner?: string | null;
  /** Jobs that have all of these tags. */
  tag?: string[] | null;
  disabled?: boolean | null;
  done?: boolean | null;
  planned?: boolean | null;
  state?: JobState[] | null;
};

/** What became of an action on many jobs. */
export type BulkResult = {
  action: BulkAction;
  /** For how many jobs it was carried out. */
  done: number;
  failed: BulkFailure[];
};

/** Why a run exists. */
export type Cause = "creation" | "failure" | "manual" | "parent" | "retry" | "schedule";

/** A run, what led to it, and what it led to, at one remove or more. */
export type Chain = {
  run: Run;
  /** The runs that led to this one, oldest first. */
  causes: Run[];
  /** The runs that this one led to, oldest first. */
  caused: Run[];
  /** Whether runs are left out; the nearest ones are here. */
  has_more: boolean;
};

/** A job as it would be, and the next slots of its schedule. */
export type CheckedJob = {
  job: Job;
  slots: string[];
};

/** A change of the clock after which a schedule is due at other times than on other days. */
export type ClockChange = {
  at: string;
  /** What happens, in words. */
  effect: string;
};

/** Jobs that are connected, and how many of them fail. */
export type Component = {
  /** The id of the job. */
  id: string;
  name: string;
  /** How many jobs are connected. */
  jobs: number;
  /** How many of these jobs are in the state `failing`. */
  failing: number;
};

/** Which jobs are connected, the largest components first. */
export type Components = {
  components: Component[];
  /** How many components there are, also those that were left out. */
  count: number;
  /** How many jobs start no other job, and are started by none. */
  alone: number;
};

/** The id of a new job. */
export type Created = {
  /** The id of the job. */
  id: string;
};

/** A new token. Its secret is shown once. */
export type CreatedToken = {
  /** For Authorization: Bearer. */
  secret: string;
  token: Token;
};

/** A name and a password. */
export type Credentials = {
  name: string;
  password: string;
};

/** The jobs that one request deleted, above all the job that it named. */
export type Deleted = {
  deleted: DeletedJob[];
};

/** A job that was deleted. */
export type DeletedJob = {
  /** The id of the job. */
  id: string;
  name: string;
};

/** The jobs that a deletion would delete, above all the job that the request named. */
export type Deletion = {
  jobs: DeletedJob[];
};

/** Entries of the audit log, newest first. */
export type Entries = {
  entries: Entry[];
  /** The `before` of the next page; null if this page is not full. */
  next_before: number | null;
};

/** One line of the audit log. */
export type Entry = {
  id: number;
  at: string;
  /** Who it was, such as user:ann, token:ci, peer:root, proxy:ann or local. */
  actor: string;
  /** Where the request came from; unix for the Unix socket. */
  address: string;
  action: Action;
  /** The id or name of what it was about. */
  target: string;
  /** The name of the job, if it was about one. */
  name: string;
  /** Why it was refused; null if it was done. */
  refused: string | null;
  /** The old and the new value of each field that was changed. */
  changed: { [name: string]: unknown };
};

/** What is wrong with a request, and what to do. */
export type Error = {
  /** One sentence. */
  error: string;
};

/** Which job starts which. `has_more` comes only with `job`, and `components` only if asked for. */
export type Graph = {
  nodes: GraphNode[];
  edges: GraphEdge[];
  /** Whether jobs that are near enough were left out. */
  has_more?: boolean;
  /** The connected components of two or more jobs. */
  components?: GraphComponent[];
};

/** Jobs that are connected, named by the oldest of them. */
export type GraphComponent = {
  /** The id of the job. */
  id: string;
  name: string;
  /** How many jobs are connected. */
  jobs: number;
};

/** One job that starts another: after its success, or its failure. */
export type GraphEdge = {
  /** The id of the job that starts the other one. */
  from: string;
  /** The id of the job that is started. */
  to: string;
  /** `success` to a child, `failure` to an on-failure job. */
  kind: string;
};

/** A job in the graph. Only a request with `job` or `components` gets the last two. */
export type GraphNode = {
  /** The id of the job. */
  id: string;
  name: string;
  disabled: boolean;
  /** The state of the newest run; null without runs. */
  last_state?: string | null;
  /** The id of the oldest job that it is connected with. */
  component?: string;
};

/** Whether a check passes and, if not, why. */
export type Health = {
  status: "fail" | "pass";
  reasons: string[];
};

/** How many runs ended in each step of a period. The last step may not be over yet. */
export type Histogram = {
  /** How long a step is, in seconds. */
  step: number;
  /** Without a gap. */
  steps: HistogramStep[];
};

/** How many runs ended in one step, by state. */
export type HistogramStep = {
  start: string;
  succeeded?: number;
  failed?: number;
  timed_out?: number;
  cancelled?: number;
  lost?: number;
  skipped?: number;
};

/** An invitation to choose a password. It works once, and is shown once. */
export type Invitation = {
  /** For POST /api/v1/invitation/, or the page /invitation. */
  invitation: string;
  user: string;
  expires_at: string;
};

/** A job in a response. */
export type Job = {
  /** a UUID, assigned at creation */
  id: string;
  /** one line, not blank; does not have to be unique */
  name: string;
  /** what the job is for: a few lines of plain text, up to 2,000 characters */
  description: string;
  /** words to find the job by: up to 20, each up to 50 characters, no commas */
  tags: string[] | null;
  /** the command for `/bin/sh -c`, or for `shell`; less than 128 KiB */
  command: string;
  /** who is responsible for the job, usually an e-mail address */
  owner: string;
  /** a disabled job does not run */
  disabled: boolean;
  /** runs after its parents; not together with a `schedule`, except `manual` */
  parent_jobs: string[] | null;
  /** the job that runs when this one has failed and is not retried */
  on_failure_job: string;
  /** when the job is due: cron, `R[n]/START/INTERVAL`, `@reboot` or `manual`; without it and without parents, the job runs once, immediately */
  schedule: string;
  /** the time zone that the schedule is in, such as `Europe/Berlin`; by default, the server's */
  timezone: string;
  /** the longest delay after a slot, at most a day; by default, there is none */
  jitter: string;
  /** how many times a failed run is retried, up to 1,000,000 */
  retries: number;
  /** retry only commands that ended with one of these exit codes, 0 to 255 */
  retry_on: number[] | null;
  /** the delay before a retry; by default, there is none */
  retry_delay: string;
  /** the factor by which the delay grows with each retry, up to 1,000 */
  retry_backoff: number;
  /** the longest delay; at most a year, which is the default */
  retry_max_delay: string;
  /** how long after its due time a run can still be retried; by default, there is no limit */
  epsilon: string;
  /** a run that takes longer is stopped and counts as `timed_out` */
  timeout: string;
  /** what happens to a new run while another is queued or running: `wait`, `skip`, `allow` or `replace` */
  overlap: "wait" | "skip" | "allow" | "replace";
  /** what happens to missed slots: run `once` for the latest, `skip` them, or run `all` */
  missed: "once" | "skip" | "all";
  /** with `all`: run only this many of the newest slots, up to 1,000 */
  missed_limit: number;
  /** a slot that is older counts as missed and is not made up for */
  start_deadline: string;
  /** `any`: after each success of a parent; `all`: when the latest run of each has succeeded since its own last run */
  parents_mode: "any" | "all";
  /** a pool of the configuration, which limits how many runs are in progress at a time */
  pool: string;
  /** the queued run with the highest priority starts first; from -1,000 to 1,000 */
  priority: number;
  /** environment variables for the command: up to 1,000, each up to 131,000 bytes with its name, about 1.7 MiB in total */
  env: { [name: string]: string } | null;
  /** where the command starts; by default, where Kala was started */
  working_directory: string;
  /** the program that runs the command with `-c`; by default, `/bin/sh` */
  shell: string;
  /** the umask of the command; by default, Kala's */
  umask: string;
  /** the user that the command runs as, if Kala is root; by default, Kala's user */
  user: string;
  /** how many bytes of memory a run can use, at least 1 MiB; 0 means no limit */
  memory_max: number;
  /** how much CPU time a run can use, in percent of one processor, up to 100,000; 0 means no limit */
  cpu_quota: number;
  /** how many processes and threads a run can have at a time, up to 4,194,304; 0 means no limit */
  tasks_max: number;
  /** how long runs are kept; by default, as configured */
  keep_for: string;
  /** how many runs are kept; 0 means as configured */
  keep_runs: number;
  /** how many bytes of output are kept; 0 means no limit for this job alone */
  keep_bytes: number;
  /** true means the same as `missed` with `skip` */
  resume_at_next_scheduled_time: boolean;
  /** 0 runs `command`; 1 calls a URL, see `remote_properties` */
  type: number;
  /** for type 1, see below */
  remote_properties: {
    /** a complete `http` or `https` URL; it can be a template */
    url: string;
    /** the HTTP method */
    method: string;
    /** sent as UTF-8; it can be a template */
    body: string;
    /** such as `{"Accept": ["text/plain"]}`; at most 100, with 100 values each; some are set by Kala */
    headers: { [name: string]: string[] } | null;
    /** seconds for the whole call, up to 86,400; 0 means 30 */
    timeout: number;
    /** the status codes that count as success */
    expected_response_codes: number[] | null;
  };
  /** left and right delimiter, separated by a space; makes the command, or URL and body, a template */
  TemplateDelimiters: string;
  /** the ids of the jobs that have this one as a parent, in the order of their creation */
  dependent_jobs: string[] | null;
  /** when the next slot is due; "never" if the job is disabled or nothing is planned */
  next_run_at: string;
  /** the same, as the clock of the job's time zone shows it; empty for "never" */
  next_run_local: string;
  /** of a cron expression: its five fields, with a number for each `H`; otherwise empty */
  schedule_resolved: string;
  /** how many runs have succeeded */
  success_count: number;
  /** when the last run that succeeded ended */
  last_success: string;
  /** attempts that failed or timed out, retries included */
  error_count: number;
  /** when the last attempt that failed or timed out ended */
  last_error: string;
  /** when the newest attempt began */
  last_attempted_run: string;
  /** these five fields again, and `number_of_finished_runs`, in which a run and its retries count once */
  metadata: {
    /** how many runs have succeeded */
    success_count?: number;
    /** when the last run that succeeded ended */
    last_success?: string;
    /** attempts that failed or timed out, retries included */
    error_count?: number;
    /** when the last attempt that failed or timed out ended */
    last_error?: string;
    /** when the newest attempt began */
    last_attempted_run?: string;
    /** how many runs have ended, in which a run and its retries count once */
    number_of_finished_runs?: number;
  };
  /** the newest 100 of the job's stats, oldest first; `null` in a list of jobs */
  stats: ({ [name: string]: unknown })[] | null;
  /** the last run has ended, and no other run is planned */
  is_done: boolean;
};

/** A merge patch of a job (RFC 7396): null resets a field to its default. */
export type JobChange = {
  /** one line, not blank; does not have to be unique */
  name?: string | null;
  /** what the job is for: a few lines of plain text, up to 2,000 characters */
  description?: string | null;
  /** words to find the job by: up to 20, each up to 50 characters, no commas */
  tags?: string[] | null;
  /** the command for `/bin/sh -c`, or for `shell`; less than 128 KiB */
  command?: string | null;
  /** who is responsible for the job, usually an e-mail address */
  owner?: string | null;
  /** a disabled job does not run */
  disabled?: boolean | null;
  /** runs after its parents; not together with a `schedule`, except `manual` */
  parent_jobs?: string[] | null;
  /** the job that runs when this one has failed and is not retried */
  on_failure_job?: string | null;
  /** when the job is due: cron, `R[n]/START/INTERVAL`, `@reboot` or `manual`; without it and without parents, the job runs once, immediately */
  schedule?: string | null;
  /** the time zone that the schedule is in, such as `Europe/Berlin`; by default, the server's */
  timezone?: string | null;
  /** the longest delay after a slot, at most a day; by default, there is none */
  jitter?: string | null;
  /** how many times a failed run is retried, up to 1,000,000 */
  retries?: number | null;
  /** retry only commands that ended with one of these exit codes, 0 to 255 */
  retry_on?: number[] | null;
  /** the delay before a retry; by default, there is none */
  retry_delay?: string | null;
  /** the factor by which the delay grows with each retry, up to 1,000 */
  retry_backoff?: number | null;
  /** the longest delay; at most a year, which is the default */
  retry_max_delay?: string | null;
  /** how long after its due time a run can still be retried; by default, there is no limit */
  epsilon?: string | null;
  /** a run that takes longer is stopped and counts as `timed_out` */
  timeout?: string | null;
  /** what happens to a new run while another is queued or running: `wait`, `skip`, `allow` or `replace` */
  overlap?: "wait" | "skip" | "allow" | "replace" | null;
  /** what happens to missed slots: run `once` for the latest, `skip` them, or run `all` */
  missed?: "once" | "skip" | "all" | null;
  /** with `all`: run only this many of the newest slots, up to 1,000 */
  missed_limit?: number | null;
  /** a slot that is older counts as missed and is not made up for */
  start_deadline?: string | null;
  /** `any`: after each success of a parent; `all`: when the latest run of each has succeeded since its own last run */
  parents_mode?: "any" | "all" | null;
  /** a pool of the configuration, which limits how many runs are in progress at a time */
  pool?: string | null;
  /** the queued run with the highest priority starts first; from -1,000 to 1,000 */
  priority?: number | null;
  /** environment variables for the command: up to 1,000, each up to 131,000 bytes with its name, about 1.7 MiB in total */
  env?: { [name: string]: string | null } | null;
  /** where the command starts; by default, where Kala was started */
  working_directory?: string | null;
  /** the program that runs the command with `-c`; by default, `/bin/sh` */
  shell?: string | null;
  /** the umask of the command; by default, Kala's */
  umask?: string | null;
  /** the user that the command runs as, if Kala is root; by default, Kala's user */
  user?: string | null;
  /** how many bytes of memory a run can use, at least 1 MiB; 0 means no limit */
  memory_max?: number | null;
  /** how much CPU time a run can use, in percent of one processor, up to 100,000; 0 means no limit */
  cpu_quota?: number | null;
  /** how many processes and threads a run can have at a time, up to 4,194,304; 0 means no limit */
  tasks_max?: number | null;
  /** how long runs are kept; by default, as configured */
  keep_for?: string | null;
  /** how many runs are kept; 0 means as configured */
  keep_runs?: number | null;
  /** how many bytes of output are kept; 0 means no limit for this job alone */
  keep_bytes?: number | null;
  /** true means the same as `missed` with `skip` */
  resume_at_next_scheduled_time?: boolean | null;
  /** 0 runs `command`; 1 calls a URL, see `remote_properties` */
  type?: number | null;
  /** for type 1, see below */
  remote_properties?: {
    /** a complete `http` or `https` URL; it can be a template */
    url?: string | null;
    /** the HTTP method */
    method?: string | null;
    /** sent as UTF-8; it can be a template */
    body?: string | null;
    /** such as `{"Accept": ["text/plain"]}`; at most 100, with 100 values each; some are set by Kala */
    headers?: { [name: string]: string[] | null } | null;
    /** seconds for the whole call, up to 86,400; 0 means 30 */
    timeout?: number | null;
    /** the status codes that count as success */
    expected_response_codes?: number[] | null;
  } | null;
  /** left and right delimiter, separated by a space; makes the command, or URL and body, a template */
  TemplateDelimiters?: string | null;
};

/** How a job stands. A job can be in several states at a time, such as failing and running.

The last run is the one that ended last, not counting a failure that is retried. Deleting a run does not change it. */
export type JobState = "cancelled" | "disabled" | "done" | "failing" | "lost" | "new" | "ok" | "queued" | "running";

/** The results of a job, oldest first; null if there are none. */
export type JobStats = {
  job_stats: Stat[] | null;
};

/** Jobs by their ids, in the order of their creation. */
export type Jobs = {
  jobs: { [name: string]: Job };
};

/** How late the last slots were claimed, and how long the last steps of the engine took, in seconds. */
export type Lag = {
  claimed_at: string | null;
  late_by: number | null;
  last_step: number | null;
  longest_step: number | null;
};

/** How the last run of a job ended. A failed run that is retried does not count, and a deleted run still does. */
export type LastRun = {
  id: number;
  state: State;
  ended_at: string;
  /** Seconds. */
  duration: number;
  /** How the run ended, in words; null if it was deleted. */
  message?: string | null;
  /** What the run printed last; null if that cannot be read. */
  last_line?: string | null;
};

/** A session of a user in a browser or a terminal. */
export type Login = {
  created_at: string;
  last_used: string;
  address: string;
  /** The User-Agent of the program. */
  agent: string;
  /** Whether this request has it. */
  is_this: boolean;
};

/** Who makes the request. `user` is null without a login, as with a token. */
export type Me = {
  /** Who it was, such as user:ann, token:ci, peer:root, proxy:ann or local. */
  actor: string;
  role: Role;
  /** Patterns; the caller sees only jobs whose owner matches one. An empty list means all jobs. */
  owners: string[];
  /** Whether they may choose the user that a job runs as. */
  run_as: boolean;
  address: string;
  user: string | null;
  logins: Login[];
};

/** A job in a request. Names of fields are not case-sensitive, and null means that a field is not given. */
export type NewJob = {
  /** one line, not blank; does not have to be unique */
  name: string | null;
  /** what the job is for: a few lines of plain text, up to 2,000 characters */
  description?: string | null;
  /** words to find the job by: up to 20, each up to 50 characters, no commas */
  tags?: string[] | null;
  /** the command for `/bin/sh -c`, or for `shell`; less than 128 KiB */
  command?: string | null;
  /** who is responsible for the job, usually an e-mail address */
  owner?: string | null;
  /** a disabled job does not run */
  disabled?: boolean | null;
  /** runs after its parents; not together with a `schedule`, except `manual` */
  parent_jobs?: string[] | null;
  /** the job that runs when this one has failed and is not retried */
  on_failure_job?: string | null;
  /** when the job is due: cron, `R[n]/START/INTERVAL`, `@reboot` or `manual`; without it and without parents, the job runs once, immediately */
  schedule?: string | null;
  /** the time zone that the schedule is in, such as `Europe/Berlin`; by default, the server's */
  timezone?: string | null;
  /** the longest delay after a slot, at most a day; by default, there is none */
  jitter?: string | null;
  /** how many times a failed run is retried, up to 1,000,000 */
  retries?: number | null;
  /** retry only commands that ended with one of these exit codes, 0 to 255 */
  retry_on?: number[] | null;
  /** the delay before a retry; by default, there is none */
  retry_delay?: string | null;
  /** the factor by which the delay grows with each retry, up to 1,000 */
  retry_backoff?: number | null;
  /** the longest delay; at most a year, which is the default */
  retry_max_delay?: string | null;
  /** how long after its due time a run can still be retried; by default, there is no limit */
  epsilon?: string | null;
  /** a run that takes longer is stopped and counts as `timed_out` */
  timeout?: string | null;
  /** what happens to a new run while another is queued or running: `wait`, `skip`, `allow` or `replace` */
  overlap?: "wait" | "skip" | "allow" | "replace" | null;
  /** what happens to missed slots: run `once` for the latest, `skip` them, or run `all` */
  missed?: "once" | "skip" | "all" | null;
  /** with `all`: run only this many of the newest slots, up to 1,000 */
  missed_limit?: number | null;
  /** a slot that is older counts as missed and is not made up for */
  start_deadline?: string | null;
  /** `any`: after each success of a parent; `all`: when the latest run of each has succeeded since its own last run */
  parents_mode?: "any" | "all" | null;
  /** a pool of the configuration, which limits how many runs are in progress at a time */
  pool?: string | null;
  /** the queued run with the highest priority starts first; from -1,000 to 1,000 */
  priority?: number | null;
  /** environment variables for the command: up to 1,000, each up to 131,000 bytes with its name, about 1.7 MiB in total */
  env?: { [name: string]: string } | null;
  /** where the command starts; by default, where Kala was started */
  working_directory?: string | null;
  /** the program that runs the command with `-c`; by default, `/bin/sh` */
  shell?: string | null;
  /** the umask of the command; by default, Kala's */
  umask?: string | null;
  /** the user that the command runs as, if Kala is root; by default, Kala's user */
  user?: string | null;
  /** how many bytes of memory a run can use, at least 1 MiB; 0 means no limit */
  memory_max?: number | null;
  /** how much CPU time a run can use, in percent of one processor, up to 100,000; 0 means no limit */
  cpu_quota?: number | null;
  /** how many processes and threads a run can have at a time, up to 4,194,304; 0 means no limit */
  tasks_max?: number | null;
  /** how long runs are kept; by default, as configured */
  keep_for?: string | null;
  /** how many runs are kept; 0 means as configured */
  keep_runs?: number | null;
  /** how many bytes of output are kept; 0 means no limit for this job alone */
  keep_bytes?: number | null;
  /** true means the same as `missed` with `skip` */
  resume_at_next_scheduled_time?: boolean | null;
  /** 0 runs `command`; 1 calls a URL, see `remote_properties` */
  type?: number | null;
  /** for type 1, see below */
  remote_properties?: {
    /** a complete `http` or `https` URL; it can be a template */
    url?: string | null;
    /** the HTTP method */
    method?: string | null;
    /** sent as UTF-8; it can be a template */
    body?: string | null;
    /** such as `{"Accept": ["text/plain"]}`; at most 100, with 100 values each; some are set by Kala */
    headers?: { [name: string]: string[] } | null;
    /** seconds for the whole call, up to 86,400; 0 means 30 */
    timeout?: number | null;
    /** the status codes that count as success */
    expected_response_codes?: number[] | null;
  } | null;
  /** left and right delimiter, separated by a space; makes the command, or URL and body, a template */
  TemplateDelimiters?: string | null;
};

/** A new password for who is logged in. All their other logins end. */
export type NewPassword = {
  old_password: string;
  /** At least 12 characters, at most 256. */
  password: string;
};

/** A new token for a program. */
export type NewToken = {
  name: string;
  role: Role;
  /** Patterns; the caller sees only jobs whose owner matches one. An empty list means all jobs. */
  owners?: string[];
  /** Whether they may choose the user that a job runs as. */
  run_as?: boolean;
  /** An ISO 8601 duration, or never. */
  expires_in?: string;
};

/** A new user. Without a password, invite them: with an invitation they choose one. */
export type NewUser = {
  name: string;
  role: Role;
  /** Patterns; the caller sees only jobs whose owner matches one. An empty list means all jobs. */
  owners?: string[];
  /** Whether they may choose the user that a job runs as. */
  run_as?: boolean;
  password?: string | null;
};

/** One of the newest runs of a job, whatever its state. */
export type NewestRun = {
  id: number;
  state: State;
  /** Seconds; `null` before the end of the run, and without a start. */
  duration: number | null;
};

/** The run that ended first of all that are stored. `expires_at` is None if its age does not limit how long. */
export type OldestRun = {
  id: number;
  ended_at: string;
  expires_at: string | null;
};

/** Who makes the request. */
export type OneCaller = {
  me: Me;
};

/** A job. */
export type OneJob = {
  job: Job;
};

/** What goes on in all jobs. */
export type OneOverview = {
  summary: Overview;
};

/** A run. */
export type OneRun = {
  run: Run;
};

/** A user, and where they are logged in. */
export type OneUser = {
  user: User;
  logins: Login[];
};

/** What goes on in all jobs. */
export type Overview = {
  jobs: number;
  disabled: number;
  /** Jobs whose last run failed or timed out. */
  failing: number;
  /** Runs whose process or call has started. */
  running: number;
  /** Runs that have a worker, and whose process or call has not started yet. */
  starting: number;
  queued: Queued;
  /** The next slot of a job that is not disabled. */
  next_run_at: string | null;
  /** Runs skipped in the last 24 hours, missed slots among them; at most 10,000. */
  skipped_24h: number;
  /** When this was read. */
  created: string;
};

/** A pool. `size` is None for one that jobs name and the settings do not: it has no limit. */
export type Pool = {
  size: number | null;
  running: number;
  waiting: number;
};

/** A schedule to try. */
export type Preview = {
  /** As in a job. */
  schedule: string;
  count?: number | null;
  timezone?: string | null;
  jitter?: string | null;
  name?: string | null;
  after?: string | null;
};

/** How many runs wait, by what they wait for. */
export type Queued = {
  total: number;
  worker: number;
  pool: number;
  /** For the end of another run of the same job. */
  job: number;
  /** For the time of a retry. */
  retry: number;
  /** Until their job is enabled. */
  disabled: number;
};

/** The settings that say what is kept, and the run that has been kept longest. */
export type Retention = {
  keep_for: string;
  keep_runs: number;
  keep_bytes: number;
  oldest_run: OldestRun | null;
};

/** What a caller may do. Each role may do what the ones before it may. */
export type Role = "admin" | "anyone" | "editor" | "operator" | "viewer";

/** A run. Its times are null where there are none. */
export type Run = {
  id: number;
  /** The id of the job. */
  job_id: string;
  job_name: string;
  /** Why the run exists. */
  cause: Cause;
  /** The run that caused this one: of the parent, failed, or retried. */
  cause_run_id: number | null;
  state: State;
  /** Why the run has not started. */
  waiting_for: "worker" | "job" | "pool" | "retry" | "disabled" | "start" | null;
  /** When a retry may start. */
  not_before: string | null;
  pool: string;
  priority: number;
  /** 0 for the first attempt, 1 for its first retry, and so on. */
  attempt: number;
  /** When the run was due. */
  slot: string | null;
  queued_at: string;
  started_at: string | null;
  ended_at: string | null;
  /** Seconds from the slot to the start. */
  lateness: number | null;
  /** Seconds from the start to the end. */
  duration: number | null;
  /** How the run ended, in words; below the role editor, with URLs up to their hosts. */
  message: string;
  /** The exit status of a command. */
  exit_code: number | null;
  /** The signal that ended a command. */
  signal: number | null;
  /** The status code of an HTTP call. */
  http_status: number | null;
  /** How many bytes of output are kept. */
  output_size: number | null;
  /** Whether there was more output. */
  output_cut: boolean | null;
  /** Who started or retried the run by hand, such as user:ann. */
  requested_by: string | null;
  /** Why the run waits, or how it ended and what follows; only if asked for. */
  explain?: string;
  /** Seconds; only if asked for. */
  usual_duration?: number | null;
};

/** Whether memory_max, cpu_quota and tasks_max of jobs can be enforced and, if not, why. */
export type RunLimits = {
  available: boolean;
  reason: string;
};

/** Runs, newest first. */
export type Runs = {
  runs: Run[];
  /** The `before` of the next page; null if this page is not full. */
  next_before: number | null;
};

/** A login. The token is shown once. */
export type Session = {
  /** For Authorization: Bearer. */
  token: string;
  user: string;
  role: Role;
  /** When the login ends at the latest; without a request, it ends earlier. */
  expires_at: string;
};

/** A setting as it is shown. `source` is the kind of its origin. The default is None if it depends on the system. */
export type Setting = {
  key: string;
  value: unknown;
  default: unknown;
  origin: string;
  source: "default" | "file" | "flag" | "variable";
  unit: string;
  reloadable: boolean;
  meaning: string;
};

/** What `GET /api/v1/config/` returns. */
export type Settings = {
  settings: Setting[];
};

/** What a schedule means. */
export type Slots = {
  slots: string[];
  /** The slots as the clock of the time zone shows them. */
  local: string[];
  /** When the job is due, in words. */
  sentence: string;
  /** The zone that the schedule is in. */
  timezone: string;
  /** Of a cron expression: its five fields, with a number for each H. */
  resolved: string;
  /** The changes of the clock in the next year that matter. */
  clock_changes: ClockChange[];
};

/** The last attempt of a slot or start. */
export type Stat = {
  /** The id of the job. */
  job_id: string;
  /** 0001-01-01T00:00:00Z means never. */
  ran_at: string;
  number_of_retries: number;
  success: boolean;
  /** In nanoseconds. */
  execution_duration: number;
  /** The id of the attempt. */
  run_id: number;
};

/** Where a run stands. Only the engine moves a run, and only forward. */
export type State = "cancelled" | "failed" | "lost" | "queued" | "running" | "skipped" | "succeeded" | "timed_out";

/** Totals over all jobs. */
export type Stats = {
  Stats: Totals;
};

/** Sizes in bytes. Those of the outputs are a sum that is kept up to date, so no folder is walked through.

`disk` is the size of the disk that has the data directory. */
export type Storage = {
  database: number;
  outputs: number;
  free: number;
  disk: number;
};

/** A page of summaries. */
export type Summaries = {
  jobs: Summary[];
  /** `after` for the next page; `null` on the last page. */
  next_after: string | null;
  /** With `count`: how many jobs match, on all pages. */
  total?: number | null;
  /** With `count`: whether more jobs match than `total`. */
  is_total_capped?: boolean | null;
};

/** A job in a list of summaries. */
export type Summary = {
  /** The id of the job. */
  id: string;
  name: string;
  owner: string;
  tags: string[];
  schedule: string;
  /** When the job runs, in words. */
  sentence: string;
  /** `null` if nothing is due, and for a disabled job. */
  next_run_at: string | null;
  disabled: boolean;
  is_done: boolean;
  /** All states that the job is in. */
  state: JobState[];
  error_count: number;
  /** When a run last succeeded. */
  last_success: string | null;
  /** `null` before the end of the first run. */
  last_run: LastRun | null;
  /** How the latest runs ended, the newest first. */
  recent: State[];
  /** The newest runs, the newest first; only if asked for. */
  runs?: NewestRun[];
};

/** What `GET /api/v1/system/` returns. */
export type System = {
  versions: Versions;
  started_at: string;
  uptime: number;
  draining: boolean;
  zone: string;
  workers: Workers;
  pools: { [name: string]: Pool };
  queue: { [name: string]: number };
  storage: Storage;
  retention: Retention;
  connections: Usage;
  streams: Usage;
  run_limits: RunLimits;
  certificate_expires_at: string | null;
  last_outage: Trouble | null;
  lag: Lag;
};

/** A token, without its secret. */
export type Token = {
  name: string;
  role: Role;
  /** Patterns; the caller sees only jobs whose owner matches one. An empty list means all jobs. */
  owners: string[];
  /** Whether they may choose the user that a job runs as. */
  run_as: boolean;
  /** Who it was, such as user:ann, token:ci, peer:root, proxy:ann or local. */
  created_by: string;
  created_at: string;
  expires_at: string | null;
  last_used: string | null;
};

/** All tokens, by name. */
export type Tokens = {
  tokens: Token[];
};

/** Totals over all jobs. */
export type Totals = {
  active_jobs: number;
  disabled_jobs: number;
  jobs: number;
  error_count: number;
  success_count: number;
  /** 0001-01-01T00:00:00Z means never. */
  next_run_at: string;
  /** 0001-01-01T00:00:00Z means never. */
  last_attempted_run: string;
  /** When the totals were read. */
  created: string;
};

/** Something that did not work, in a sentence, since when, and until when; None while it lasts. */
export type Trouble = {
  what: string;
  since: string;
  until?: string | null;
};

/** What `GET /api/v1/upcoming/` returns. `has_more` tells whether more jobs are due in the period. */
export type Upcoming = {
  since: string;
  until: string;
  jobs: UpcomingJob[];
  has_more: boolean;
  histogram?: UpcomingSteps | null;
};

/** A job, its schedule in words, how many slots it has in the period, and the first of them. */
export type UpcomingJob = {
  id: string;
  name: string;
  sentence: string;
  count: number;
  slots: string[];
};

/** The number of slots from the start of a step to that of the next one. */
export type UpcomingStep = {
  start: string;
  slots: number;
};

/** The number of slots in each step, of all jobs or, if `has_more`, of the `jobs` that are due first.

`step` is the length of a step in seconds. The counts are those of `counted_at`. */
export type UpcomingSteps = {
  step: number;
  counted_at: string;
  jobs: number;
  has_more: boolean;
  steps: UpcomingStep[];
};

/** How many connections or streams are open, and how many there may be. */
export type Usage = {
  open: number;
  limit: number;
};

/** A user. */
export type User = {
  name: string;
  role: Role;
  /** Patterns; the caller sees only jobs whose owner matches one. An empty list means all jobs. */
  owners: string[];
  /** Whether they may choose the user that a job runs as. */
  run_as: boolean;
  /** Without one, nobody can log in as this user yet. */
  has_password: boolean;
  created_at: string;
  last_login: string | null;
};

/** A change of a user; what is not given stays. With a new role or password, all their logins end. */
export type UserChange = {
  role?: Role | null;
  owners?: string[] | null;
  run_as?: boolean | null;
  password?: string | null;
};

/** All users, by name. */
export type Users = {
  users: User[];
};

/** What a bug report needs. The commit and the version of tzdata are null if nothing tells them. */
export type Versions = {
  kala: string;
  commit: string | null;
  python: string;
  sqlite: string;
  tzdata: string | null;
};

/** How many runs are in progress, and how many there can be. */
export type Workers = {
  busy: number;
  all: number;
};

