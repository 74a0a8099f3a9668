/** The part of the process that has decided. */
export type AuditRole = 'mirror' | 'files' | 'pieces' | 'session' | 'api';

/** One decision about something that is not for everybody. Holds no secret: what is written is read by others than who made it. */
export interface AuditEvent {
  readonly role: AuditRole;
  /** The address of whoever asked, as the connection has it. */
  readonly client: string | undefined;
  readonly decision: 'allowed' | 'denied';
  /** Why it was denied: the stable code of an error. */
  readonly code?: string | undefined;
  /** The name under which whoever asked has logged in. */
  readonly identity?: string | undefined;
  /** For whom a token says that it was made. */
  readonly subject?: string | undefined;
  /** Tells credentials apart, and nothing else of them: a keyed hash; or `configured`, for that of the configuration. */
  readonly credential?: string | undefined;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
  readonly registry?: string | undefined;
  readonly repository?: string | undefined;
  /** The tag, where one was asked for, or what else behind the name of the repository. */
  readonly reference?: string | undefined;
  readonly digest?: string | undefined;
  /** Host and path of the URL of a file; never its query. */
  readonly file?: string | undefined;
  /** A command that was only to say what it would do. */
  readonly dryRun?: true | undefined;
  /** The HTTP status of the answer. */
  readonly status?: number | undefined;
  /** Where the bytes came from: `store`, `peers`, `origin`, `mixed`. */
  readonly source?: string | undefined;
  /** Body bytes that were sent. */
  readonly bytes?: number | undefined;
}

/** Where decisions are noted. Never throws and never waits: no answer is held up by it. */
export interface Audit {
  record(event: AuditEvent): void;
}
