import { z } from 'zod';
import type { Buckets } from '../../engine/engine.ts';
import type { FleetKeeper } from '../../engine/fleet/fleet-keeper.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';

/** What the admin API acts on. */
export interface AdminParts {
  readonly keeper: FleetKeeper;
  readonly upkeep: Upkeep;
  readonly buckets: Pick<Buckets, 'get' | 'setProfile' | 'setETags'>;
}

/** A request, checked by the schemas of its route. */
export interface AdminCall<Path, Query, Body> {
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
  readonly signal: AbortSignal;
}

/** One row of the API: what a request must be, what it does, and what the answer is. Handlers return values and never write to a socket. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Such as `/admin/v1/providers/{id}`. */
  readonly path: string;
  /** A name of its own, for logs and generated clients. */
  readonly name: string;
  readonly summary: string;
  readonly pathSchema: z.ZodObject;
  /** Of what comes as text. */
  readonly querySchema: z.ZodObject;
  /** Absent where a request has no body. */
  readonly bodySchema?: z.ZodType | undefined;
  readonly answerSchema: z.ZodType;
  /** Refusals that it can answer with beside those that every route has: status and code. */
  readonly refusals: readonly (readonly [status: number, code: string])[];
  act(parts: AdminParts, call: AdminCall<unknown, unknown, unknown>): Promise<unknown>;
}

const nothing = z.strictObject({});

/** Makes a row whose `act` is typed by its schemas. */
export function adminRoute<
  Answer extends z.ZodType,
  Path extends z.ZodObject = typeof nothing,
  Query extends z.ZodObject = typeof nothing,
  Body extends z.ZodType = z.ZodUndefined,
>(row: {
  readonly method: AdminRoute['method'];
  readonly path: string;
  readonly name: string;
  readonly summary: string;
  readonly pathSchema?: Path;
  readonly querySchema?: Query;
  readonly bodySchema?: Body;
  readonly answerSchema: Answer;
  readonly refusals?: AdminRoute['refusals'];
  act(parts: AdminParts, call: AdminCall<z.output<Path>, z.output<Query>, z.output<Body>>): Promise<z.input<Answer>>;
}): AdminRoute {
  return {
    ...row,
    pathSchema: row.pathSchema ?? nothing,
    querySchema: row.querySchema ?? nothing,
    refusals: row.refusals ?? [],
    act: (parts, call) => row.act(parts, call as AdminCall<z.output<Path>, z.output<Query>, z.output<Body>>),
  };
}
