"""Creates a task by generated types, and reads it back. GATEWAY and TOKEN say where, and as whom."""

import asyncio
import os
import uuid

from tidegate_client import Client, PushChangesInput, SyncChangeInput, SyncType, TaskChange, TaskCreate, TaskInput

URL = f"{os.environ.get('GATEWAY', 'http://127.0.0.1:4000')}/graphql"


async def main():
    task_id = str(uuid.uuid4())
    document = TaskInput(title="Made by Python", audience="team:demo")
    change = SyncChangeInput(task=TaskChange(create=TaskCreate(id=task_id, document=document)))
    async with Client(url=URL, headers={"Authorization": f"Bearer {os.environ['TOKEN']}"}) as client:
        pushed = await client.push_changes(PushChangesInput(changes=[change]))
        page = await client.changes_since(types=[SyncType.Task])
    [found] = [it for it in page.changes_since.changes if it.document_id == task_id]
    print(f"{pushed.push_changes.results[0].status.value}: {found.document.title}")


asyncio.run(main())
