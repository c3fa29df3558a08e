import { S3Error } from './s3-error.ts';

/** InvalidArgument as AWS words it. Without a value the answer names only the argument, as AWS does for some. */
export function invalidArgument(message: string, name: string, value?: string): S3Error {
  return new S3Error('InvalidArgument', message, {
    ArgumentName: name,
    ...(value !== undefined && { ArgumentValue: value }),
  });
}
